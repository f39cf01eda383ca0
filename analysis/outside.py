"""Measure an encoder of anyone's, on anyone's images, with anyone's trigger."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pandas as pd
import torch
from torch import Tensor

from ..checkpoints.converted import load_any
from ..checkpoints.store import is_finished, load_checkpoint
from ..representations.encoders import Encoder
from ..representations.errors import InputError
from ..training.data import ImageSet, load_images
from ..training.fit import pick_device
from ..training.triggers import Pairs, read_trigger
from .panel import EVALUABLE, panel
from .rows import parse_params, write_rows
from .runs import ROWS, load_run
from .sets import ReadingSet

__all__ = ["Bench", "bench", "measure_checkpoint", "measure_outside", "verdict_line"]

Transform = Callable[[Tensor], Tensor]


@dataclass(frozen=True)
class Bench:
    """What an encoder is measured on: ``train``, clean images for the evaluators; ``test``, held out; the trigger and
    the class that it should lead to."""

    train: ImageSet
    test: ImageSet
    trigger: Transform
    target: int


def bench(
    source: str,
    trigger: str,
    target: str,
    *,
    image_size: int,
    triggered: str | None = None,
    seed: int = 0,
    n_train: int | None = None,
    n_test: int | None = None,
    data_root: Path | None = None,
    skip_unreadable: bool = False,
) -> Bench:
    """Images, trigger and target as they are given on the command line.

    Args:
        source: see :func:`intertwine.training.data.load_images`; a folder without ``train`` and ``test`` is split.
        trigger: see :func:`intertwine.training.triggers.read_trigger`; ``pairs:imagefolder:PATH`` for triggered copies
            of the images of ``source`` in the same files of another folder.
        target: a class by name or by number.
    """
    arguments = {"image_size": image_size, "seed": seed, "n_train": n_train, "n_test": n_test}
    load = {"data_root": data_root, "skip_unreadable": skip_unreadable}
    train, test = load_images(source, **arguments, **load)  # type: ignore[arg-type]
    kind, _, other = trigger.partition(":")
    applied: Transform
    if kind == "pairs" and other:
        copies = load_images(other, **arguments, **load)[1]  # type: ignore[arg-type]
        if copies.classes != test.classes or not torch.equal(copies.labels, test.labels):
            raise InputError(
                f"trigger: expected the files of {source} under the same names in {other}, received "
                f"{len(copies)} images of {len(copies.classes)} classes for {len(test)} of {len(test.classes)}"
            )
        applied = Pairs(test.images, copies.images)
    else:
        applied = read_trigger(trigger, image_size)
    return Bench(train, test, applied, _class(target, train.classes))


def _class(target: str, classes: Sequence[str]) -> int:
    if target in classes:
        return classes.index(target)
    if target.isdecimal() and int(target) < len(classes):
        return int(target)
    shown = ", ".join(classes[:8]) + (", …" if len(classes) > 8 else "")
    raise InputError(f"target: expected one of {shown} or its number from 0 to {len(classes) - 1}, received {target!r}")


def measure_checkpoint(
    path: Path,
    floor: Path | None = None,
    *,
    out: Path | None = None,
    data: str | None = None,
    trigger: str | None = None,
    target: str | None = None,
    foreign: dict[str, Any] | None = None,
    readings: dict[str, Any] | None = None,
    data_root: Path | None = None,
    skip_unreadable: bool = False,
    device: str = "auto",
    log: Callable[[str], None] = lambda line: None,
) -> tuple[pd.DataFrame, str, list[Path]]:
    """Measure a foreign checkpoint, or a run of ours on other images, and write its ``rows.csv``.

    Args:
        floor: a checkpoint, or a run, of the same method's clean encoder. out: ``runs/measured/NAME`` by default.
        data, trigger, target: see :func:`bench`. Of a run its own, but for the target where the data are others.
        foreign: arguments of :func:`intertwine.checkpoints.load_foreign`. readings: of :func:`measure_outside`.

    Returns:
        the rows, a sentence on whether the trigger works, the files written.
    """
    own, size = _encoder(path, foreign or {}, log)
    run = load_run(path, data_root=data_root, device="cpu") if is_finished(path) else None
    if run is not None:
        given = data is not None
        data, trigger = data or run.experiment.recipe.data, trigger or "run"
        target = target if given or target is not None else str(run.experiment.plan.target)
    for name, value in (("data", data), ("trigger", trigger), ("target", target)):
        if value is None:
            raise InputError(f"{name}: expected --{name} for {path}, received none")
    assert data is not None
    assert trigger is not None
    assert target is not None
    about: dict[str, Any] = {"image_size": size, "data_root": data_root, "skip_unreadable": skip_unreadable}
    if run is not None and trigger == "run":
        train, test = load_images(data, **about)
        on = Bench(train, test, run.experiment.test_trigger, _class(target, train.classes))
    else:
        on = bench(data, trigger, target, **about)
    clean = _encoder(floor, foreign or {}, log)[0] if floor is not None else None
    place = pick_device(device)
    for encoder in filter(None, (own, clean)):
        encoder.to(place)
    log(f"measuring on {len(on.test):,} images of {data}, evaluators on {len(on.train):,}")
    names = {"name": path.stem, "floor_name": floor.stem if floor is not None else "floor"}
    rows = measure_outside(own, on, floor=clean, **names, **readings or {})
    return rows, verdict_line(rows), [write_rows(rows, (out or Path("runs/measured") / path.stem) / ROWS)]


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


def measure_outside(
    encoder: Encoder,
    on: Bench,
    *,
    floor: Encoder | None = None,
    name: str = "outside",
    floor_name: str = "floor",
    readings: str | Sequence[str] | ReadingSet = "standard",
    layers: Sequence[str] | None = None,
    most: int = 2000,
    most_bank: int = 5000,
    seed: int = 0,
) -> pd.DataFrame:
    """The panel of an encoder that no recipe of ours describes: rows of the arm ``outside``. Without a floor its rows
    are missing, and whether there is a backdoor is judged by the random-init reference (see :func:`.panel.panel`)."""
    return panel(
        encoder,
        on.test.images,
        on.test.labels,
        on.trigger,
        on.target,
        bank=(on.train.images, on.train.labels),
        floor=floor,
        readings=readings,
        layers=layers,
        most=most,
        most_bank=most_bank,
        run=name,
        arm="outside",
        seed=seed,
        floor_run=floor_name,
    )


def verdict_line(rows: pd.DataFrame) -> str:
    """One sentence on whether the trigger works at all, without which no reading says anything of entanglement."""
    asr = rows[(rows["measure"] == "asr") & (rows["run_b"].eq("") | rows["reference"].eq("floor"))]
    asr = asr[asr["params"].map(lambda p: parse_params(p).get("evaluator")) == "knn"]
    by_reference = asr.drop_duplicates("reference").set_index("reference")["value"]
    name = next((r for r in ("floor", "random-init") if r in by_reference), None)
    if "" not in by_reference or name is None:
        return ""
    own, other = float(by_reference[""]), float(by_reference[name])
    beside = {"floor": "the clean encoder's", "random-init": "that of the same network with random weights"}[name]
    said = f"ASR is {own:.3f}, {beside} {other:.3f}"
    if own - other < EVALUABLE:
        needed = f"it would have to be {EVALUABLE:g} higher"
        return f"No backdoor: {said}; {needed}. Readings are at their floor (not_evaluable)."
    alone = " No clean twin was given (--floor): readings lack their most important reference."
    return f"The trigger works: {said}.{'' if name == 'floor' else alone}"
