"""The panel of a run against its benign twin, as rows, and written into its folder."""

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import pandas as pd

from ...checkpoints.store import load_snapshot
from ...training.triggers import Trigger
from ..panel.encoder_panel import panel
from ..panel.reading_sets import ReadingSet
from ..results.table import DEFAULT_EVALUATOR, write_rows
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

__all__ = ["measure_folder", "measure_run"]


def measure_run(
    run: Run,
    benign: Run | None = None,
    *,
    layers: Sequence[str] | None = None,
    readings: str | Sequence[str] | ReadingSet = "standard",
    most: int = 2000,
    most_bank: int = 5000,
    evaluator: str = DEFAULT_EVALUATOR,
    epoch: int | None = None,
    trigger: Trigger | None = None,
) -> pd.DataFrame:
    """The panel of a run, on its held-out images. ``most``, ``most_bank``, ``evaluator``: as in :func:`.panel.panel`.

    Args:
        trigger: by default the run's own test trigger.
        epoch: read the snapshots after so many epochs, of the benign twin too, instead of the trained encoders; without the
            rates of the native head.
    """
    e = run.experiment
    if benign is not None:
        must_be_benign_twin(run, benign)
    encoder, clean = run.encoder, benign.encoder if benign else None
    if epoch is not None:
        encoder = load_snapshot(run.checkpoint, epoch)[0].to(encoder.mean.device)
        clean = load_snapshot(benign.checkpoint, epoch)[0].to(encoder.mean.device) if benign else None
    return panel(
        encoder,
        e.test.images,
        e.test.labels,
        trigger or e.test_trigger,
        e.plan.target,
        bank=(e.train.images, e.train.labels),
        benign=clean,
        head=native_head(run) if epoch is None else None,
        augment=e.recipe.augment(),
        readings=readings,
        layers=layers,
        most=most,
        most_bank=most_bank,
        evaluator=evaluator,
        poisons=len(e.plan.indices(e.arm)),
        run=run.name,
        arm=e.recipe.arm,
        seed=e.recipe.seed,
        epoch=run.checkpoint.manifest["final"]["epoch"] if epoch is None else epoch,
        benign_run=benign.name if benign else "",
    )


def measure_folder(
    folder: Path,
    benign: Path | None,
    *,
    out: Path | None = None,
    layers: Sequence[str] | None = None,
    readings: str | Sequence[str] = "standard",
    most: int = 2000,
    most_bank: int = 5000,
    evaluator: str = DEFAULT_EVALUATOR,
    embed: bool = True,
    load: Callable[[Path], Run] = load_run,
) -> list[Path]:
    """Measure a run and write ``rows.csv``, and the side tables that the figures need, into it (or into ``out``).

    ``readings``, ``most``, ``most_bank``, ``evaluator``: as in :func:`intertwine.analysis.panel`.
    """
    run, out, other = load(folder), out or folder, load(benign) if benign else None
    asked: dict[str, Any] = {"layers": layers, "readings": readings, "most": most, "most_bank": most_bank}
    rows = measure_run(run, other, evaluator=evaluator, **asked)
    written = [write_rows(rows, out / ROWS)]
    if embed:
        written += [write_table(embed_run(run, evaluator=evaluator), out / EMBEDDING), save_gallery(run, out / GALLERY)]
        written += [save_thumbnails(run, out / THUMBNAILS), write_table(spectrum_of(run), out / SPECTRUM)]
    return written
