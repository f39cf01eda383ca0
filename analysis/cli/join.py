"""``intertwine join``."""

from pathlib import Path
from typing import Annotated

import typer

from .options import All, Json
from .terminal import show, stopwatch

__all__ = ["join"]


def join(
    folders: Annotated[list[Path], typer.Argument(metavar="STUDY…", help="Studies of one recipe with other seeds.")],
    out: Annotated[Path, typer.Option(help="Write the joined study into this folder.")],
    every: All = False,
    as_json: Json = False,
) -> None:
    """Join the parts of a study that several machines ran (`study --first-seed`), then judge, draw and report it."""
    from ..studies.join import join_studies
    from ..studies.study import conclude as conclude_study

    clock = stopwatch()
    written = join_studies(folders, out)
    rows, claims, more = conclude_study(out)
    show(rows, claims, [*written, *more], as_json, "", clock(), every=every)
