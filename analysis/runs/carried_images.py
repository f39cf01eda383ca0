"""Evaluation images that ship with encoders of the zoo, where the data of their training cannot ship.

A file is an npz of uint8 images in the size and squeeze of training, shared by the encoders of one training set:
``test``, ``train`` ``(n, 1 or 3, H, W)`` with labels, the rows of ``train`` in the training set, its fingerprint, and
native heads of benign twins that were fitted on all training images of a victim.
"""

import hashlib
import io
import json
import zipfile
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from ...checkpoints.files import atomic_write
from ...representations.errors import InputError
from ...representations.seeds import generator
from ...training.arms import ARMS
from ...training.data import ImageSet
from ...training.experiment import Experiment
from ...training.poison import PoisonPlan
from ...training.recipe import Recipe

__all__ = ["CarriedImages", "choose_images", "read_carried"]

Head = dict[str, Tensor]


@dataclass(frozen=True, eq=False)
class CarriedImages:
    """Some held-out and some training images of a run.

    rows: int64, where ``train`` lies in the training set. fingerprint: of that set. whole: the number of all its images
    and of all held-out ones. twin_heads: name of a victim → weight and bias of its benign twin's native head.
    """

    train: ImageSet
    test: ImageSet
    rows: Tensor
    fingerprint: str
    whole: tuple[int, int]
    twin_heads: Mapping[str, Head] = field(default_factory=dict)

    @property
    def note(self) -> str:
        """What a reader of rates on these images must know."""
        return (
            f"on {len(self.test):,} of {self.whole[1]:,} held-out images, evaluators on {len(self.train):,} of "
            f"{self.whole[0]:,}: those that ship; the zoo's index has rates on all"
        )

    def experiment(self, recipe: Recipe, plan: PoisonPlan) -> Experiment:
        """The experiment of a run on these images alone.

        Raises:
            InputError: the plan is of other training images.
        """
        if plan.data != self.fingerprint:
            raise InputError(
                f"data: the images that ship are of the training set {self.fingerprint[:12]}…, not of {plan.data[:12]}…"
            )
        mask = torch.isin(self.rows, plan.indices(ARMS[recipe.arm]))
        labels = self.train.labels.clone()
        if ARMS[recipe.arm].poison == "dirty":
            labels[mask] = plan.target
        return Experiment(recipe, self.train, self.test, plan, mask, labels)

    def write(self, folder: Path) -> Path:
        """Write the file, named after the fingerprint; the same bytes every time."""
        arrays = {
            **{name: _grey(part.images).numpy() for name, part in (("train", self.train), ("test", self.test))},
            **{"train_labels": self.train.labels.numpy(), "test_labels": self.test.labels.numpy()},
            **{"rows": self.rows.numpy(), "whole": np.array(self.whole), "fingerprint": np.array(self.fingerprint)},
            **{"classes": np.array(json.dumps(self.train.classes)), "name": np.array(self.train.name)},
            **{f"{n}:{part}": x.numpy() for n, head in self.twin_heads.items() for part, x in head.items()},
        }
        buffer = io.BytesIO()
        np.savez_compressed(buffer, **arrays)  # type: ignore[arg-type]
        path = folder / f"{self.fingerprint[:16]}.npz"
        atomic_write(path, buffer.getvalue())
        return path


def read_carried(path: Path, sha256: str) -> CarriedImages:
    """Read a file of :meth:`CarriedImages.write`.

    Raises:
        InputError: it is not there, or not the one of that hash.
    """
    try:
        content = path.read_bytes()
    except OSError as error:
        raise InputError(f"zoo: {path} cannot be read: {error.strerror}") from None
    if hashlib.sha256(content).hexdigest() != sha256:
        raise InputError(f"zoo: {path} is corrupted: its SHA-256 differs from the index's")
    try:
        with np.load(io.BytesIO(content), allow_pickle=False) as arrays:
            found = dict(arrays)
    except (ValueError, OSError, zipfile.BadZipFile) as error:
        raise InputError(f"zoo: {path} does not hold images: {error}") from None
    classes, name = tuple(json.loads(str(found["classes"]))), str(found["name"])
    train, test = (
        ImageSet(
            torch.from_numpy(found[part]).expand(-1, 3, -1, -1).contiguous(),
            torch.from_numpy(found[f"{part}_labels"]),
            classes,
            name,
        )
        for part in ("train", "test")
    )
    heads: dict[str, Head] = {}
    for key, array in found.items():
        victim, colon, part = key.partition(":")
        if colon:
            heads.setdefault(victim, {})[part] = torch.from_numpy(array)
    whole = (int(found["whole"][0]), int(found["whole"][1]))
    return CarriedImages(train, test, torch.from_numpy(found["rows"]), str(found["fingerprint"]), whole, heads)


def choose_images(experiment: Experiment, *, train: int, test: int, heads: Mapping[str, Head]) -> CarriedImages:
    """Draw as many images of every class of a run's data by its seed: ``train`` and ``test`` of them in all."""
    e = experiment
    bank, held_out = (
        _balanced(part.labels, count, generator(e.recipe.seed, "carried", name))
        for name, part, count in (("train", e.train, train), ("test", e.test, test))
    )
    return CarriedImages(
        e.train.subset(bank), e.test.subset(held_out), bank, e.plan.data, (len(e.train), len(e.test)), heads
    )


def _balanced(labels: Tensor, count: int, stream: torch.Generator) -> Tensor:
    """Sorted rows, equally many of every class."""
    order = torch.randperm(len(labels), generator=stream)
    classes = labels.unique()
    each = count // len(classes)
    return torch.cat([order[labels[order] == c][:each] for c in classes]).sort().values


def _grey(images: Tensor) -> Tensor:
    """One channel, where all three are equal."""
    return images[:, :1] if (images == images[:, :1]).all() else images
