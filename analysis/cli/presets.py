"""``intertwine presets``."""

from itertools import groupby
from typing import Annotated

import typer

from ...training.fields import described
from ...training.recipe import Recipe, preset_names
from .terminal import print_table, say_wrapped

__all__ = ["presets"]

COLUMNS = ("option", "type", "default", "meaning")
PAGE = """# Fields of a recipe

A recipe is a preset or a TOML file. Each field is a key of the file, with `_` for `-`, and an option of
`intertwine train` and `intertwine study`. A file may name a preset as its `base`.

Presets: {presets}.

This page is the output of `intertwine presets --markdown`.
"""


def presets(
    markdown: Annotated[bool, typer.Option("--markdown", help="Print a page in Markdown.")] = False,
) -> None:
    """List the recipes that ship with the package, and the fields of a recipe."""
    known = ", ".join(preset_names())
    if markdown:
        typer.echo(PAGE.format(presets=known))
    else:
        say_wrapped(f"Presets: {known}")
        typer.echo()
    for group, fields in groupby(described(Recipe), lambda field: field.group):
        rows = [(f"--{f.name.replace('_', '-')}", f.type, f.default, f.meaning) for f in fields]
        if markdown:
            typer.echo("\n".join([f"## {group.capitalize()}\n", *map(_line, [COLUMNS, ("---",) * 4, *rows]), ""]))
        else:
            print_table(COLUMNS, rows, group.capitalize())


def _line(cells: tuple[str, ...]) -> str:
    return f"| {' | '.join(cell.replace('|', ' or ') for cell in cells)} |"
