"""Measure an encoder of anyone's, on anyone's images, with anyone's trigger."""

import itertools
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pandas as pd
import torch
from torch import Tensor

from ...checkpoints.converted import is_converted, load_any
from ...checkpoints.store import is_finished, load_checkpoint
from ...representations.encoders import Encoder
from ...representations.errors import InputError
from ...training.data import ImageSet, load_images
from ...training.fit import pick_device
from ...training.image_folders import image_files
from ...training.triggers import Pairs, read_trigger
from ..panel import PanelOptions, panel
from ..results.row import RunLabel
from ..results.schema import DEFAULT_EVALUATOR, EVALUABLE, EVALUATOR_TITLES
from ..results.table import by_deciding_evaluator, deciding_evaluators, write_rows
from .run import Run, load_run
from .side_tables import ROWS

__all__ = ["EvaluationImages", "evaluation_images", "measure_checkpoint", "measure_foreign", "verdict_line"]

Transform = Callable[[Tensor], Tensor]


@dataclass(frozen=True)
class EvaluationImages:
    """What an encoder is measured on: ``train``, clean images for the evaluators; ``test``, held out; the trigger and
    the class that it should lead to."""

    train: ImageSet
    test: ImageSet
    trigger: Transform
    target: int


def evaluation_images(
    source: str,
    trigger: str,
    target: str,
    *,
    image_size: int,
    triggered: str | None = None,
    seed: int = 0,
    n_train: int | None = None,
    n_test: int | None = None,
    squeeze: tuple[float, float] = (0.0, 1.0),
    data_root: Path | None = None,
    skip_unreadable: bool = False,
) -> EvaluationImages:
    """Images, trigger and target as they are given on the command line.

    Args:
        source: see :func:`intertwine.training.data.load_images`; a folder without ``train`` and ``test`` is split.
        trigger: see :func:`intertwine.training.triggers.read_trigger`; ``pairs:imagefolder:PATH`` for triggered copies
            of the images of ``source`` in the same files of another folder.
        target: a class by name or by number.
    """
    arguments: dict[str, Any] = {"image_size": image_size, "seed": seed, "n_train": n_train, "n_test": n_test}
    load: dict[str, Any] = {"data_root": data_root, "skip_unreadable": skip_unreadable}
    train, test = load_images(source, **arguments, **load, squeeze=squeeze)
    kind, _, other = trigger.partition(":")
    applied: Transform
    if kind == "pairs" and other:
        applied = _pairs(source, other, (train, test), arguments, load)
    else:
        applied = read_trigger(trigger, image_size)
    return EvaluationImages(train, test, applied, _class(target, train.classes))


def _pairs(
    source: str, other: str, clean: tuple[ImageSet, ImageSet], arguments: dict[str, Any], load: dict[str, Any]
) -> Pairs:
    """The copies in ``other``, file by file."""
    if load["skip_unreadable"]:
        raise InputError("trigger: expected pairs of files that can all be read, received --skip-unreadable")
    names, copied = image_files(source), image_files(other)
    if names != copied:
        first = next((a for a, b in itertools.zip_longest(names, copied) if a != b), None)
        raise InputError(
            f"trigger: expected the {len(names)} files of {source} under the same names in {other}, received "
            f"{len(copied)}; they differ from {first!r} on"
        )
    copies = load_images(other, **arguments, **load)
    before, after = (torch.cat([part.images for part in parts]) for parts in (clean, copies))
    return Pairs(before, after)


def _class(target: str, classes: Sequence[str]) -> int:
    if target in classes:
        return classes.index(target)
    if target.isdecimal() and int(target) < len(classes):
        return int(target)
    shown = ", ".join(classes[:8]) + (", …" if len(classes) > 8 else "")
    raise InputError(f"target: expected one of {shown} or its number from 0 to {len(classes) - 1}, received {target!r}")


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
) -> tuple[pd.DataFrame, str, list[Path]]:
    """Measure a foreign checkpoint, or a run of ours on other images, and write its ``rows.csv``.

    Args:
        benign: a checkpoint, or a run, of the same method's clean encoder. out: by default a folder below
            ``runs/measured`` that is called after the whole path.
        data: what a foreign checkpoint is measured on; of a run where its own data are now. evaluation_data: other
        images. trigger, target: see :func:`evaluation_images`. Of a run its own, but for the target where the data are
        others. foreign: arguments of :func:`intertwine.checkpoints.load_foreign`.

    Returns:
        the rows, a sentence on whether the trigger works, the files written.
    """
    about: dict[str, Any] = {"data_root": data_root, "skip_unreadable": skip_unreadable}
    if not path.exists():
        raise InputError(f"checkpoint: expected a run folder or a file, received {str(path)!r}, which is not there")
    if is_finished(path) or (path.is_dir() and not is_converted(path)):  # a folder that is no run says so itself
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
    rows = measure_foreign(own, on, options, benign=clean, name=path.stem, benign_name=benign_name)
    # By the whole path: every run has a seed0, and every script a last.ckpt.
    place_of = out or Path("runs/measured") / "-".join(part for part in path.with_suffix("").parts if part not in "/..")
    return rows, verdict_line(rows), [write_rows(rows, place_of / ROWS)]


def _images_of(
    run: Run, evaluation_data: str | None, trigger: str | None, target: str | None, about: dict[str, Any]
) -> EvaluationImages:
    """Of a run of ours: its own images, trigger and target, but for what is given."""
    e = run.experiment
    size = e.train.images.shape[-1]
    train, test = e.train, e.test
    if evaluation_data is not None:
        if target is None:
            raise InputError("target: expected --target, a class of --evaluation-data, received none")
        train, test = load_images(evaluation_data, image_size=size, squeeze=e.recipe.squeeze, **about)
    aim = e.plan.target if target is None else _class(target, train.classes)
    if trigger is None:
        return EvaluationImages(train, test, e.test_trigger, aim)
    if trigger.startswith("pairs:"):
        raise InputError("trigger: expected pairs for a foreign checkpoint only, received them for a run")
    return EvaluationImages(train, test, read_trigger(trigger, size), aim)


def _encoder(path: Path, foreign: dict[str, Any], log: Callable[[str], None]) -> tuple[Encoder, int]:
    """And the side of the images that it takes."""
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
) -> pd.DataFrame:
    """The panel of an encoder that no recipe of ours describes: rows of the arm ``foreign``. Without a benign twin its
    rows are missing, and the random-init reference decides whether there is a backdoor (see :func:`..panel.panel`)."""
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
    )


def verdict_line(rows: pd.DataFrame) -> str:
    """One sentence on whether the trigger works at all, without which no reading says anything of entanglement."""
    asr = rows[(rows["measure"] == "asr") & (rows["kind"] == "reading")]
    by_reference = by_deciding_evaluator(asr).drop_duplicates("reference").set_index("reference")["value"]
    name = next((r for r in ("benign", "random-init") if r in by_reference), None)
    if "" not in by_reference or name is None:
        return ""
    own, other = float(by_reference[""]), float(by_reference[name])
    beside = {"benign": "the clean encoder's", "random-init": "that of the same network with random weights"}[name]
    by = "".join(f" by {EVALUATOR_TITLES[judge]}" for judge in deciding_evaluators(asr) if judge != DEFAULT_EVALUATOR)
    said = f"ASR{by} is {own:.3f}, {beside} {other:.3f}"
    if other > 1 - EVALUABLE:
        return f"Whether the trigger works cannot be told: {said}, and it would have to be {EVALUABLE:g} higher."
    if own - other < EVALUABLE:
        needed = f"it would have to be {EVALUABLE:g} higher"
        return f"This trigger opens no backdoor: {said}; {needed}. Readings are at their benign twin (not_evaluable)."
    alone = " No clean twin was given (--benign): readings lack their most important reference."
    return f"The trigger works: {said}.{'' if name == 'benign' else alone}"
