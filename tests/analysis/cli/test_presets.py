"""``intertwine presets``: recipes and fields, on the screen and as the page of the documentation."""

import re
from pathlib import Path

from intertwine.training.fields import described
from intertwine.training.recipe import Recipe, preset_names

PAGE = Path(__file__).parents[3] / "docs" / "recipe.md"


def cells(text):
    rows = [[cell.strip() for cell in line.strip("|").split(" | ")] for line in re.findall(r"^\| --.*$", text, re.M)]
    return [[cell.strip() for cell in row] for row in rows if set(row[0]) != {"-"}]


def test_all_presets_and_fields_are_listed(run):
    code, out, _ = run("presets")
    assert code == 0
    for name in (*preset_names(), *(field.name.replace("_", "-") for field in described(Recipe))):
        assert name in out


def test_the_page_has_the_fields_of_the_declaration(run):
    _, out, _ = run("presets", "--markdown")
    expected = [
        [f"--{f.name.replace('_', '-')}", f.type.replace("|", " or "), f.default, f.meaning] for f in described(Recipe)
    ]
    assert cells(out) == expected
    assert cells(PAGE.read_text()) == expected, "run `intertwine presets --markdown > docs/recipe.md`"
