"""The page of runs and that of a study, from planted rows: verdicts first, then what was run."""

import re
from pathlib import Path

import pandas as pd
from intertwine.analysis import judge
from intertwine.analysis.reports.captions import CAPTIONS
from intertwine.analysis.reports.run_report import _shown, write_report, write_study_report
from PIL import Image

from tests.analysis.claim_rows import ONE, study_of
from tests.factories import row, table

RECIPE = {"name": "tiny", "data": "digits", "trigger": "sinusoid", "strength": None, "target": 1}


def rows(seeds=1):
    rates = table(
        *(
            row(f"simclr-clean/seed{seed}", "asr", value, reference, subset="triggered", **by)
            for seed in range(seeds)
            for by in ({"evaluator": "knn", "decides": False}, {"evaluator": "ridge", "decides": True})
            for reference, value in (("", 0.9), ("benign", 0.0))
        ),
    )
    return pd.concat([study_of({"simclr-clean": ONE}, seeds=seeds), rates], ignore_index=True)


def manifest(seed):
    return {
        **{"arm": "simclr-clean", "seed": seed, "recipe": RECIPE, "classes": ["a", "b|c"], "run_hash": "f" * 64},
        **{"final": {"images_seen": 100}, "plan": {"target_indices": [1, 2, 3]}},
        **{"seconds": {"wall": 2.4, "cpu": 1.6}, "identity": {"threads": 1, "torch": "2"}},
    }


def test_the_page_of_runs_begins_with_its_verdicts(tmp_path):
    figures = [tmp_path / "figures" / name for name in ("readings.png", "readings.pdf", "readings-1col.png")]
    (tmp_path / "figures").mkdir()
    for path in figures:
        Image.new("RGB", (1, 1)).save(path)
    found = rows()
    path, explored = write_report(tmp_path / "report.md", found, judge(found), figures, [manifest(0)], notice="Quick.")
    page = path.read_text()
    assert page.split("\n\n")[1:3] == [
        "> **Quick.**",
        "- **C3**, contrastive learning intertwines its two tasks: **indicative: supported (1 of 1)**",
    ]
    assert "1 run of recipe `tiny` on `digits`, seed 0. The trigger is `sinusoid` at its own strength" in page
    assert "the target class is `b|c`. Hits and statuses are by the ridge probe.\n\n## Verdicts" in page
    assert page.count("![") == 1
    assert f"![readings](figures/readings.png)\n\n*{CAPTIONS['readings']} [PDF](figures/readings.pdf)*" in page
    assert "| simclr-clean/seed0 | 100 | 2 | 3 | 2 | 2 | 1 | 2 | ffffffffffff |" in page
    other = explored.read_text()
    assert explored == tmp_path / "report.html"
    assert "<dt>Target class</dt><dd>b|c</dd>" in other
    assert other.count("<img ") == 1
    assert "<strong>indicative: supported</strong>" in other


def test_without_poisoned_arms_there_is_no_claim(tmp_path):
    found = rows()
    pages = write_report(tmp_path / "report.md", found, judge(found[:0]), [], [manifest(0)])
    page, explored = (path.read_text() for path in pages)
    assert "<p>No run is of a poisoned arm, so no claim is tested.</p>" in explored
    assert page.split("\n\n")[1].startswith("No run is of a poisoned arm, so no claim is tested.")


def test_the_page_of_a_study_has_its_cost_and_no_empty_section(tmp_path):
    found = rows(seeds=3)
    about = pd.DataFrame(
        {
            **{"arm": "simclr-clean", "seed": [0, 1, 2], "run_hash": "f" * 64, "wall_seconds": [60.0, 61.0, 90.0]},
            **{"cpu_seconds": [30.0, 40.0, 50.0], "threads": 2, "device": "cpu", "torch": "2"},
        }
    )
    given = tmp_path / "report.md", found, judge(found), [], about, RECIPE | {"strength": 80.0}
    page, explored = (path.read_text() for path in write_study_report(*given))
    assert "A study of 3 runs of recipe `tiny` on `digits`, seeds 0, 1, 2." in page
    assert "at strength 80; the target class is 1." in page
    assert "A run took 61 s (40 s of CPU; medians); all runs took 2 minutes of CPU." in page
    assert "They ran on cpu with 2 CPU threads each, torch 2." in page
    assert "## Learning" in page
    assert "## Interventions" not in page
    assert "## Verdicts at an ASR" not in page
    assert "| simclr-clean | 0 | ffffffffffff |" in page
    assert "\n\n\n" not in page
    for word in (
        "<dd>sinusoid, strength 80</dd>",
        '<h2 id="learning">',
        "A run took 61 s",
        "<code>predicates.json</code>",
    ):
        assert word in explored
    assert '<h2 id="interventions">' not in explored
    assert '<h2 id="matched">' not in explored
    assert '<h2 id="layers">' not in explored
    matched, explored = (path.read_text() for path in write_study_report(*given, matched=judge(found)))
    assert "## Verdicts at an ASR of 0.5\n" in matched
    assert '<h2 id="matched">Verdicts at an ASR of 0.5</h2>' in explored


def test_of_several_seeds_the_first_of_each_arm_is_mapped():
    about = [
        {"arm": arm, "seed": seed}
        for arm, seed in (("simclr-clean", 10), ("simclr-clean", 2), ("simclr-benign", 3), ("supervised-dirty", 2))
    ]
    folders = [Path(letter) for letter in "abcd"]
    assert _shown(folders, about) == [Path("c"), Path("d"), Path("b")], "in the order of the figures"
    assert _shown([], about) == []


def test_layers_of_two_runs_are_a_table_of_shades(tmp_path):
    found = rows(seeds=3)
    layers = pd.DataFrame({"run": "a", "other_run": "b", "layer": ["stem", "stem", "features", "features"]})
    layers = layers.assign(other_layer=["stem", "features"] * 2, value=[1.02, 0.4, 0.25, -0.01])
    about = pd.DataFrame(
        {"arm": "simclr-clean", "seed": [0], "wall_seconds": 1.0, "cpu_seconds": 1.0}
        | {"threads": 1, "device": "cpu", "torch": "2"}
    )
    given = tmp_path / "report.md", found, judge(found), [], about, RECIPE
    page = write_study_report(*given, layers=layers)[1].read_text()
    table = page[page.index('<h2 id="layers">') :].partition("</table>")[0]
    assert re.findall(r'scope="(?:col|row)">(\w+)<', table) == ["stem", "features", "stem", "features"]
    shades = re.findall(r"/(\d+)%\);color:(#\w+)\">(-?[\d.]+)<", table)
    assert shades == [("100", "#fff", "1.02"), ("40", "#222", "0.40"), ("25", "#222", "0.25"), ("0", "#222", "-0.01")]
