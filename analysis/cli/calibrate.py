"""``intertwine calibrate``."""

from pathlib import Path
from typing import Annotated

import typer

from .options import Out
from .terminal import files, progress, stopwatch

__all__ = ["calibrate"]


def calibrate(
    out: Out = Path("runs/calibration"),
    quick: Annotated[
        bool, typer.Option("--quick", help="Compute few replicates: every output, no conclusions.")
    ] = False,
    jobs: Annotated[int, typer.Option(min=1, help="Use so many processes.")] = 2,
) -> None:
    """Compare the readings of families B and C with planted truth, and compute the coverage of their intervals."""
    from ..calibration.calibration import calibrate as run_calibration

    clock = stopwatch()
    with progress() as (log, _):
        written = run_calibration(out, quick=quick, jobs=jobs, log=log)
    files(written, clock())
