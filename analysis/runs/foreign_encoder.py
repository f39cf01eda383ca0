"""Measure a foreign encoder, or a run on other images, with any trigger."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pandas as pd

from ...checkpoints.converted import is_converted, load_any
from ...checkpoints.store import is_finished, load_checkpoint
from ...representations.encoders import Encoder
from ...representations.errors import InputError
from ...training.data import load_images
from ...training.fit import pick_device
from ...training.triggers import read_trigger
from ..panel import PanelOptions, panel
from ..panel.steps import OnStep
from ..results.row import RunLabel
from ..results.schema import BACKDOORED, EVALUATOR_TITLES
from ..results.table import write_rows
from .evaluation_images import EvaluationImages, class_index, evaluation_images
from .run import Run, load_run
from .side_tables import ROWS

__all__ = ["measure_checkpoint", "measure_foreign", "verdict_line"]


def measure_checkpoint(
    path: Path,
    benign: Path | None = None,
    *,
    out: Path | None = None,
    data: str | None = None,
    evaluation_data: str | None = None,
    trigger: str | None = None,
    target: str | None = None,
    foreign: dict[str, Any] | None = None,
    options: PanelOptions | None = None,
    data_root: Path | None = None,
    skip_unreadable: bool = False,
    device: str = "auto",
    log: Callable[[str], None] = lambda line: None,
    on_step: OnStep | None = None,
) -> tuple[pd.DataFrame, str, list[Path]]:
    """Measure a foreign checkpoint, or a run on other images, and write its ``rows.csv``.

    Args:
        path: a foreign checkpoint or a run. benign: the same of its benign twin.
        out: by default a folder below ``runs/measured``, named after the whole path.
        data: the images for a foreign checkpoint; for a run, the place of its own data now.
        evaluation_data: other images.
        trigger, target: as in :func:`.evaluation_images.evaluation_images`. A run has its own; with other images it
            needs a target.
        foreign: arguments of :func:`intertwine.checkpoints.load_foreign`.

    Returns:
        The rows, a sentence on whether the trigger works, and the files written.

    Raises:
        InputError: no such checkpoint; data, trigger or target are missing or do not fit.
    """
    about: dict[str, Any] = {"data_root": data_root, "skip_unreadable": skip_unreadable}
    if not path.exists():
        raise InputError(f"checkpoint: expected a run folder or a file, received {str(path)!r}, which is not there")
    if is_finished(path) or (path.is_dir() and not is_converted(path)):  # load_run reports a folder that is no run
        run = load_run(path, data=data, device="cpu", **about)
        own, on = run.encoder, _images_of(run, evaluation_data, trigger, target, about)
    else:
        if data and evaluation_data:
            raise InputError(
                "evaluation_data: expected --data or --evaluation-data for a foreign checkpoint, received both"
            )
        wanted = {"data": data or evaluation_data, "trigger": trigger, "target": target}
        for name, value in wanted.items():
            if value is None:
                raise InputError(f"{name}: expected --{name} for {path}, received none")
        own, size = _encoder(path, foreign or {}, log)
        on = evaluation_images(*map(str, wanted.values()), image_size=size, **about)
    clean = _encoder(benign, foreign or {}, log)[0] if benign is not None else None
    place = pick_device(device)
    for encoder in filter(None, (own, clean)):
        encoder.to(place)
    log(f"measuring on {len(on.test):,} images of {on.test.name}, evaluators on {len(on.train):,}")
    benign_name = benign.stem if benign is not None else "benign"
    rows = measure_foreign(own, on, options, benign=clean, name=path.stem, benign_name=benign_name, on_step=on_step)
    # Named after the whole path: every run has a seed0, and every script a last.ckpt.
    place_of = out or Path("runs/measured") / "-".join(part for part in path.with_suffix("").parts if part not in "/..")
    return rows, verdict_line(rows), [write_rows(rows, place_of / ROWS)]


def _images_of(
    run: Run, evaluation_data: str | None, trigger: str | None, target: str | None, about: dict[str, Any]
) -> EvaluationImages:
    """A run's own images, trigger and target, except those that are given."""
    e = run.experiment
    size = e.train.images.shape[-1]
    train, test = e.train, e.test
    if evaluation_data is not None:
        if target is None:
            raise InputError("target: expected --target, a class of --evaluation-data, received none")
        train, test = load_images(evaluation_data, image_size=size, squeeze=e.recipe.squeeze, **about)
    aim = e.plan.target if target is None else class_index(target, train.classes)
    if trigger is None:
        return EvaluationImages(train, test, e.test_trigger, aim)
    if trigger.startswith("pairs:"):
        raise InputError("trigger: expected pairs for a foreign checkpoint only, received pairs for a run")
    return EvaluationImages(train, test, read_trigger(trigger, size), aim)


def _encoder(path: Path, foreign: dict[str, Any], log: Callable[[str], None]) -> tuple[Encoder, int]:
    """The encoder of a run or of a foreign checkpoint, and the side of its images in pixels."""
    if is_finished(path):
        encoder = load_checkpoint(path).encoder.eval()
        assert encoder.spec is not None
        return encoder, encoder.spec.image_size
    loaded = load_any(path, **foreign)
    for line in loaded.lines():
        log(f"{path.name}: {line}")
    return loaded.encoder, loaded.image_size


def measure_foreign(
    encoder: Encoder,
    on: EvaluationImages,
    options: PanelOptions | None = None,
    *,
    benign: Encoder | None = None,
    name: str = "foreign",
    benign_name: str = "benign",
    on_step: OnStep | None = None,
) -> pd.DataFrame:
    """The panel of an encoder without a recipe, as rows of the arm ``foreign``.

    Without a benign twin, the random-init reference decides whether there is a backdoor (see :func:`..panel.panel`).
    """
    options = options or PanelOptions()
    return panel(
        encoder,
        on.test.images,
        on.test.labels,
        on.trigger,
        on.target,
        bank=(on.train.images, on.train.labels),
        benign=benign,
        options=options,
        label=RunLabel(name, "foreign", options.seed),
        benign_run=benign_name,
        on_step=on_step,
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
