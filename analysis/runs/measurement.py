"""Measure a run beside its benign twin, and write the tables into its folder."""

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pandas as pd
from torch import Tensor

from ...checkpoints.store import load_snapshot
from ...training.triggers import Trigger
from ..panel import PanelOptions, panel
from ..results.measures import RATES
from ..results.table import write_rows
from .run import Run, load_run, native_head
from .side_tables import (
    EMBEDDING,
    GALLERY,
    ROWS,
    SPECTRUM,
    THUMBNAILS,
    embed_run,
    save_gallery,
    save_thumbnails,
    spectrum_of,
    write_table,
)
from .twins import must_be_benign_twin

__all__ = ["measure_folder", "measure_run", "poisons_of"]


def measure_run(
    run: Run,
    benign: Run | None = None,
    options: PanelOptions | None = None,
    *,
    epoch: int | None = None,
    trigger: Trigger | None = None,
) -> pd.DataFrame:
    """The panel of a run on its held-out images; the run's own seed drives every draw.

    Args:
        benign: its benign twin.
        epoch: use the snapshots after this number of epochs, of both encoders, instead of the trained ones.
        trigger: by default the run's own test trigger.

    Raises:
        InputError: ``benign`` is not the benign twin of the run.
    """
    e = run.experiment
    if benign is not None:
        must_be_benign_twin(run, benign)
    encoder, clean = run.encoder, benign.encoder if benign else None
    label = run.label
    if epoch is not None:
        encoder = load_snapshot(run.checkpoint, epoch)[0].to(encoder.mean.device)
        clean = load_snapshot(benign.checkpoint, epoch)[0].to(encoder.mean.device) if benign else None
        label = replace(label, epoch=epoch)
    rows = panel(
        encoder,
        e.test.images,
        e.test.labels,
        trigger or e.test_trigger,
        e.plan.target,
        bank=(e.train.images, e.train.labels),
        benign=clean,
        head=native_head(run, epoch),
        benign_head=native_head(benign, epoch, victim=run) if benign else None,
        augment=e.recipe.augment(),
        options=replace(options or PanelOptions(), seed=e.recipe.seed),
        poisons=poisons_of(run),
        label=label,
        benign_run=benign.name if benign else "",
    )
    if run.note:
        rate = rows["measure"].isin(RATES) & (rows["kind"] == "reading")
        rows.loc[rate, "note"] = [f"{note}; {run.note}" if note else run.note for note in rows.loc[rate, "note"]]
    return rows


def poisons_of(run: Run) -> tuple[Tensor, Tensor] | None:
    """The poisoned training images, with the trigger, and clean ones of the class that they are bound to."""
    e = run.experiment
    if not e.mask.any():
        return None
    twins = (e.train.labels == e.plan.target) & ~e.mask
    return e.train_trigger(e.train.images[e.mask].float() / 255), e.train.images[twins]


def measure_folder(
    folder: Path,
    benign: Path | None,
    options: PanelOptions | None = None,
    *,
    out: Path | None = None,
    embed: bool = True,
    load: Callable[[Path], Run] = load_run,
) -> list[Path]:
    """Measure a run, and write ``rows.csv`` and the side tables for figures into its folder (or into ``out``)."""
    run, out, other = load(folder), out or folder, load(benign) if benign else None
    options = options or PanelOptions()
    written = [write_rows(measure_run(run, other, options), out / ROWS)]
    if embed:
        written += [write_table(embed_run(run, evaluator=options.evaluator), out / EMBEDDING)]
        written += [save_gallery(run, out / GALLERY), save_thumbnails(run, out / THUMBNAILS)]
        written += [write_table(spectrum_of(run), out / SPECTRUM)]
    return written
