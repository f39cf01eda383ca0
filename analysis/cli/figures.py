"""``intertwine figures``."""

from pathlib import Path
from typing import Annotated

import typer

from .options import Out, Runs, names
from .terminal import files, progress, stopwatch

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
    """Draw the figures of runs or zoo:NAME, with captions beside them. Measure first what is not measured yet."""
    from ..reports.drawing import draw_all
    from ..reports.output import Output
    from ..runs.side_tables import ROWS, gather
    from ..studies.comparison import measured

    clock = stopwatch()
    output = Output(style=style, width=width, formats=names(formats) or (), captions=True, latex=latex)
    with progress() as (log, bar):
        folders = list(measured(runs, log=log, on_step=bar))
        written = draw_all(folders, gather(folders, ROWS), out, output, only=names(only), on_step=bar)
    files(written, clock())
