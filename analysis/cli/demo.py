"""``intertwine demo``."""

from pathlib import Path
from typing import Annotated

import typer

from .options import All, Device, Json, Out, Threads, set_threads
from .terminal import progress, show, stopwatch

__all__ = ["demo"]


def demo(
    out: Out = Path("runs/demo"),
    seed: Annotated[int, typer.Option(help="Set what decides initialisation, order, split, plan and pattern.")] = 0,
    quick: Annotated[
        bool, typer.Option("--quick", help="Train a few epochs: every output in about two minutes, no conclusions.")
    ] = False,
    device: Device = "auto",
    threads: Threads = None,
    every: All = False,
    as_json: Json = False,
) -> None:
    """Train five arms on digits, measure, judge the claims, draw and report: the whole toolkit in one command."""
    from ..studies.demo import QUICK_NOTICE
    from ..studies.demo import demo as run_demo

    set_threads(threads)
    clock = stopwatch()
    with progress() as (log, bar):
        rows, claims, written = run_demo(out, seed=seed, quick=quick, device=device, log=log, on_epoch=bar)
    show(rows, claims, written, as_json, QUICK_NOTICE if quick else "", clock(), every=every)
