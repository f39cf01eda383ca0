"""Images, trigger and target class for the measurement of a foreign encoder, from their names."""

import itertools
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from ...representations.errors import InputError
from ...training.data import ImageSet, load_images
from ...training.image_folders import image_files
from ...training.triggers import Pairs, read_trigger

__all__ = ["EvaluationImages", "class_index", "evaluation_images"]

Transform = Callable[[Tensor], Tensor]


@dataclass(frozen=True)
class EvaluationImages:
    """The data of one measurement.

    train: clean images for the evaluators. test: held-out images. trigger: float batch in [0, 1] → triggered batch.
    target: the class that it should lead to.
    """

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
    """Load images and trigger by the names given on the command line.

    Args:
        source: as in :func:`intertwine.training.data.load_images`. A folder without ``train`` and ``test`` is split.
        trigger: as in :func:`intertwine.training.triggers.read_trigger`, or ``pairs:imagefolder:PATH``: triggered
            copies of the images of ``source``, in files of the same names.
        target: name or number of the class.

    Raises:
        InputError: an unknown class; pairs whose files do not match those of ``source``.
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
    return EvaluationImages(train, test, applied, class_index(target, train.classes))


def _pairs(
    source: str, other: str, clean: tuple[ImageSet, ImageSet], arguments: dict[str, Any], load: dict[str, Any]
) -> Pairs:
    """The trigger that replaces images by their copies in ``other``."""
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


def class_index(target: str, classes: Sequence[str]) -> int:
    if target in classes:
        return classes.index(target)
    if target.isdecimal() and int(target) < len(classes):
        return int(target)
    shown = ", ".join(classes[:8]) + (", …" if len(classes) > 8 else "")
    raise InputError(f"target: expected one of {shown} or its number from 0 to {len(classes) - 1}, received {target!r}")
