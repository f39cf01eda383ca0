"""Dynamics of a run: readings at its snapshots.

Losses of different arms are not comparable. ACC, ASR and interference, whose losses are the same for all arms, are.
"""

from collections.abc import Callable
from dataclasses import replace

import pandas as pd

from ...checkpoints.store import snapshot_epochs
from ...probes.gradients import WHOLE
from ..panel import PanelOptions
from ..panel.reading_sets import ALONG_TRAINING
from ..results.reading import Reading
from ..results.row import build_rows
from ..runs.measurement import measure_run
from ..runs.run import Run
from ..runs.side_tables import HISTORY, gather
from .curves import RISE, half_time_gap, windowed
from .own_alignment import own_alignment

__all__ = ["measure_dynamics"]


def measure_dynamics(
    run: Run,
    benign: Run | None = None,
    options: PanelOptions | None = None,
    *,
    panel_at_end: bool = True,
    log: Callable[[str], None] = lambda line: None,
) -> pd.DataFrame:
    """Rows along training: readings at each snapshot, and readings of the history.

    A snapshot has the readings of :data:`ALONG_TRAINING` and the alignment of the arm's own loss. The history has the
    rank of the poisons' loss, the windowed rates and the half-time gap. The benign twin is measured at the same epoch
    of its own training. Rates from the history are always by kNN.

    Args:
        panel_at_end: measure the panel of the last snapshot too. It is the trained encoder, whose rows may exist.
    """
    epochs, tables = snapshot_epochs(run.checkpoint.path), []
    few = replace(options or PanelOptions(), readings=ALONG_TRAINING)
    for epoch in epochs:
        log(f"{run.name}: epoch {epoch} of {epochs[-1]}")
        label = replace(run.label, epoch=epoch)
        if panel_at_end or epoch < epochs[-1]:
            tables.append(measure_run(run, benign, few, epoch=epoch))
        for reference, other in (("", run), ("benign", benign)):
            if other is not None:
                readings = own_alignment(run, other, epoch)
                tables.append(build_rows(label, readings, measure="own_gradient_alignment", reference=reference))
    history = gather([run.checkpoint.path], HISTORY)
    steps_an_epoch = len(run.experiment.train) // run.experiment.recipe.batch
    start = tables[0]
    first = {
        name: float(start[(start["measure"] == name) & (start["reference"] == "")]["value"].iloc[0]) for name in RISE
    }
    label = replace(run.label, epoch=int(history["epoch"].iloc[-1]))
    whole = {"half_time_gap": half_time_gap(history, first, steps_an_epoch)}
    whole |= {f"{name}_windowed": windowed(history, name) for name in ("acc", "asr", "r_acc")}
    tables += [build_rows(label, {WHOLE: reading}, measure=name) for name, reading in whole.items()]
    ranked = history.dropna(subset=["loss_rank_auc"])
    for epoch, rank in zip(ranked["epoch"].tolist(), ranked["loss_rank_auc"].tolist(), strict=True):
        tables.append(build_rows(replace(label, epoch=epoch), {WHOLE: Reading(rank)}, measure="loss_rank_auc"))
    return pd.concat(tables, ignore_index=True)
