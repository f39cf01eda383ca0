"""``intertwine figures``."""

from pathlib import Path

from .options import Out, Runs
from .terminal import files, progress, stopwatch

__all__ = ["figures"]


def figures(runs: Runs, out: Out = Path("runs/figures")) -> None:
    """Draw all figures of measured runs again, from their rows and side tables."""
    from ..reports.drawing import draw_all
    from ..runs.run import find_runs
    from ..runs.side_tables import ROWS, gather

    clock = stopwatch()
    folders = find_runs(runs)
    with progress() as (_, bar):
        written = draw_all(folders, gather(folders, ROWS), out, on_step=bar)
    files(written, clock())
