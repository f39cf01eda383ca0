"""``intertwine compare``."""

from functools import partial
from pathlib import Path

from .options import DataRoot, Device, Json, Out, Runs, Skip, Threads, set_threads
from .terminal import progress, show, stopwatch

__all__ = ["compare"]


def compare(
    runs: Runs,
    out: Out = Path("runs/compare"),
    device: Device = "auto",
    threads: Threads = None,
    data_root: DataRoot = None,
    skip_unreadable: Skip = False,
    as_json: Json = False,
) -> None:
    """Join runs with their benign twins, judge the claims, draw and report. Measure first what is not measured yet."""
    from ..runs.run import load_run
    from ..studies.comparison import compare as run_compare

    set_threads(threads)
    clock = stopwatch()
    load = partial(load_run, data_root=data_root, skip_unreadable=skip_unreadable, device=device)
    with progress() as (log, bar):
        rows, claims, written = run_compare(runs, out, load=load, log=log, on_step=bar)
    show(rows, claims, written, as_json, "", clock())
