"""Measure a foreign encoder, or a run on other images, with any trigger."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pandas as pd

from ...checkpoints.shipped import PREFIX
from ...representations.errors import InputError
from ..panel import PanelOptions, panel
from ..results.row import RunLabel
from ..results.schema import BACKDOORED, EVALUATOR_TITLES
from ..results.table import write_rows
from .foreign_run import ForeignRun
from .loading import as_foreign, load
from .run import Run
from .side_tables import ROWS

__all__ = ["measure_checkpoint", "measure_foreign", "verdict_line"]


def measure_checkpoint(
    path: Path | str,
    benign: Path | str | None = None,
    *,
    out: Path | None = None,
    foreign: dict[str, Any] | None = None,
    options: PanelOptions | None = None,
    log: Callable[[str], None] = lambda line: None,
    **about: Any,
) -> tuple[pd.DataFrame, str, list[Path]]:
    """Measure a foreign checkpoint, or a run on other images, and write its ``rows.csv``.

    Args:
        path: a foreign checkpoint or a run. benign: the same of its benign twin.
        out: by default a folder below ``runs/measured``, named after the whole path.
        foreign: arguments of :func:`intertwine.checkpoints.load_foreign`.
        about: other arguments of :func:`.loading.load`.

    Returns:
        The rows, a sentence on whether the trigger works, and the files written.

    Raises:
        InputError: no such checkpoint; data, trigger or target are missing or do not fit.
    """
    loaded = load(path, twin=benign, log=log, **about, **foreign or {})
    run = as_foreign(loaded) if isinstance(loaded, Run) else loaded
    if run.data is not None and run.bank is not None:
        log(f"measuring on {len(run.data):,} images of {run.data.name}, evaluators on {len(run.bank):,}")
    rows = measure_foreign(run, options)
    # Named after the whole path: every run has a seed0, and every script a last.ckpt.
    plain = Path(str(path).replace(PREFIX, "zoo-")).with_suffix("")
    place = out or Path("runs/measured") / "-".join(part for part in plain.parts if part not in "/..")
    return rows, verdict_line(rows), [write_rows(rows, place / ROWS)]


def measure_foreign(run: ForeignRun, options: PanelOptions | None = None) -> pd.DataFrame:
    """The panel of an encoder without a recipe, as rows of the arm ``foreign``.

    Without a benign twin, the random-init reference decides whether there is a backdoor (see :func:`..panel.panel`).

    Raises:
        InputError: it has no data, trigger or target.
    """
    if run.data is None or run.bank is None:
        raise InputError(f"data: expected images to measure {run.name} on, and trigger and target, received none")
    if run.trigger is None or run.target is None:
        raise InputError(f"trigger: expected trigger and target to measure {run.name}, received none")
    options = options or PanelOptions()
    return panel(
        run.encoder,
        run.data.images,
        run.data.labels,
        run.trigger,
        run.target,
        bank=(run.bank.images, run.bank.labels),
        benign=run.twin.encoder if run.twin else None,
        options=options,
        label=RunLabel(run.name, "foreign", options.seed),
        benign_run=run.twin.name if run.twin else "benign",
    )


def verdict_line(rows: pd.DataFrame) -> str:
    """One sentence on whether the trigger works: if it does not, no reading is evidence of entanglement.

    ASR is that by the evaluator that sees the trigger most.
    """
    asr = rows[(rows["measure"] == "asr") & (rows["kind"] == "reading")]
    rate = {(str(r["reference"]), str(r["evaluator"])): float(r["value"]) for r in asr.to_dict("records")}
    name = next((r for r in ("benign", "random-init") if any(r == key[0] for key in rate)), None)
    both = [e for r, e in rate if r == "" and name is not None and (name, e) in rate]
    if name is None or not both:
        return ""
    evaluator = max(both, key=lambda e: rate["", e] - rate[name, e])
    own, other = rate["", evaluator], rate[name, evaluator]
    beside = {"benign": "the benign twin's", "random-init": "that of the same network with random weights"}[name]
    rates = f"ASR by {EVALUATOR_TITLES[evaluator]} is {own:.3f}, {beside} is {other:.3f}"
    required = f"a difference of {BACKDOORED:g} is required"
    if other > 1 - BACKDOORED:
        return f"It cannot be decided whether the trigger works: {rates}; {required}."
    if own - other < BACKDOORED:
        return f"The trigger does not work: {rates}; {required}. Readings are no evidence of entanglement."
    alone = " No benign twin was given (--benign): ASR has no better reference."
    return f"The trigger works: {rates}.{'' if name == 'benign' else alone}"
