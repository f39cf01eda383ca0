"""``intertwine figures``."""

from pathlib import Path
from typing import Annotated

import typer

from .options import Out, Runs, names
from .terminal import files, stopwatch

__all__ = ["figures"]

Only = Annotated[str | None, typer.Option(help="Draw only these figures, separated by commas: readings,dynamics.")]
Width = Annotated[
    float | None, typer.Option(help="Draw at this width in inches; at one and two columns of the style by default.")
]
StyleName = Annotated[
    str, typer.Option("--style", help="Set sizes and fonts for intertwine, usenix, nature or slides.")
]
Formats = Annotated[str, typer.Option("--format", help="Write pdf, png or svg, or several: pdf,svg.")]
Latex = Annotated[bool, typer.Option("--latex", help="Also write a .tex file that includes each figure.")]


def figures(
    runs: Runs,
    out: Out = Path("runs/figures"),
    only: Only = None,
    width: Width = None,
    style: StyleName = "intertwine",
    formats: Formats = "pdf,png",
    latex: Latex = False,
) -> None:
    """Draw the figures of measured runs from their rows and side tables, with captions as text beside them."""
    from ..reports.drawing import draw_all
    from ..reports.output import Output
    from ..runs.run import find_runs
    from ..runs.side_tables import ROWS, gather

    clock = stopwatch()
    folders = find_runs(runs)
    output = Output(style=style, width=width, formats=names(formats) or (), captions=True, latex=latex)
    files(draw_all(folders, gather(folders, ROWS), out, output, only=names(only)), clock())
