"""The demo: five arms on digits, measured against their benign twins, with verdicts, figures and a report."""

from collections.abc import Callable
from functools import lru_cache
from pathlib import Path
from typing import Any

import pandas as pd

from ...representations.encoders import FEATURES
from ...training.fit import fit
from ...training.recipe import read_recipe
from ..panel import PanelOptions
from ..panel.steps import OnStep
from ..runs.run import Run, load_run
from .comparison import compare

__all__ = ["DEMO_ARMS", "QUICK_NOTICE", "demo"]

DEMO_ARMS = ("supervised-benign", "simclr-benign", "supervised-dirty", "supervised-clean", "simclr-clean")
QUICK_NOTICE = (
    "Quick run: a few epochs, the output layer only, 200 held-out images. Every output exists; draw no conclusions."
)
QUICK = PanelOptions(layers=(FEATURES,), images=200)


def demo(
    out: Path,
    *,
    seed: int = 0,
    quick: bool = False,
    device: str = "auto",
    log: Callable[[str], None] = lambda line: None,
    on_epoch: Callable[[int, int, dict[str, Any]], None] | None = None,
    on_step: OnStep | None = None,
) -> tuple[pd.DataFrame, pd.DataFrame, list[Path]]:
    """Train, measure and compare.

    A demo that was interrupted continues. Finished runs in ``out`` are kept if recipe and data are the same.

    Returns:
        rows, claims, the files written.
    """
    changes: dict[str, Any] = {"seed": seed} | ({"name": "digits-demo-quick", "epochs": 4} if quick else {})
    folders = []
    load: Callable[[Path], Run] = lru_cache(lambda folder: load_run(folder, device=device))
    for i, arm in enumerate(DEMO_ARMS, start=1):
        log(f"[{i}/{len(DEMO_ARMS)}] training {arm}")
        folders.append(
            fit(
                read_recipe("digits-demo", arm=arm, **changes),
                out / arm / f"seed{seed}",
                device=device,
                on_epoch=on_epoch,
            )
        )
    notice, options = (QUICK_NOTICE, QUICK) if quick else ("", None)
    return compare(folders, out, load=load, log=log, on_step=on_step, notice=notice, options=options)
