"""The poison plan: which images get the trigger, and under which label. All arms of a seed share it."""

import hashlib
import json
import math
from collections.abc import Mapping
from dataclasses import asdict, dataclass

import torch
from torch import Tensor

from ..representations.errors import InputError
from ..representations.seeds import generator
from .arms import Arm
from .data import ImageSet

__all__ = ["PoisonPlan", "make_plan", "poisoned"]


@dataclass(frozen=True)
class PoisonPlan:
    """One seed's poison. ``target_indices`` of class ``target`` and ``other_indices`` of the rest are ``count`` sorted
    indices each into the training set. ``data``: its fingerprint. ``trigger``: the name of the pattern."""

    seed: int
    target: int
    target_indices: tuple[int, ...]
    other_indices: tuple[int, ...]
    data: str
    trigger: str

    @property
    def count(self) -> int:
        return len(self.target_indices)

    @property
    def hash(self) -> str:
        return hashlib.sha256(json.dumps(asdict(self), sort_keys=True).encode()).hexdigest()

    def to_dict(self) -> dict[str, object]:
        return asdict(self) | {"hash": self.hash}

    @classmethod
    def from_dict(cls, values: Mapping[str, object]) -> "PoisonPlan":
        try:
            known = {k: tuple(v) if isinstance(v, list) else v for k, v in values.items() if k != "hash"}
            plan = cls(**known)  # type: ignore[arg-type]
        except TypeError as error:
            raise InputError(f"plan: expected the fields {', '.join(cls.__dataclass_fields__)}: {error}") from None
        if plan.hash != values.get("hash"):
            raise InputError("plan: its hash does not fit its content: the file was changed or damaged")
        return plan

    def indices(self, arm: Arm) -> Tensor:
        """The arm's poisoned training images, int64."""
        chosen = {"clean": self.target_indices, "dirty": self.other_indices}.get(arm.poison, ())
        return torch.tensor(chosen, dtype=torch.int64)


def make_plan(
    train: ImageSet, *, target: int, fraction: float, base: str, trigger: str, seed: int, first: bool = False
) -> PoisonPlan:
    """Draw both lists of a plan.

    Args:
        fraction, base: the poison count is ``fraction`` of the images of the ``target_class`` or of the ``dataset``.
        first: take the first images of both lists, as the official CTRL code does, instead of drawing them.

    Raises:
        InputError: a target out of range, or a count of 0 or above the number of images to choose from.
    """
    if not 0 <= target < len(train.classes):
        raise InputError(f"target: expected a class from 0 to {len(train.classes) - 1}, received {target}")
    of_target = (train.labels == target).nonzero().flatten()
    of_others = (train.labels != target).nonzero().flatten()
    bases = {"target_class": len(of_target), "dataset": len(train)}
    if base not in bases:
        raise InputError(f"poison_base: expected 'target_class' or 'dataset', received {base!r}")
    count = round(fraction * bases[base]) if math.isfinite(fraction) else -1
    limit = min(len(of_target), len(of_others))
    if not 1 <= count <= limit:
        raise InputError(
            f"poison_fraction: expected a poison count from 1 to {limit} (class {target} has {len(of_target)} training "
            f"images, the others {len(of_others)}), received {count if math.isfinite(fraction) else 'none'} = "
            f"{fraction:g} of {bases[base]} ({base})"
        )

    def draw(pool: Tensor, purpose: str) -> tuple[int, ...]:
        order = (
            torch.arange(len(pool)) if first else torch.randperm(len(pool), generator=generator(seed, "plan", purpose))
        )
        return tuple(pool[order[:count]].sort().values.tolist())

    return PoisonPlan(seed, target, draw(of_target, "target"), draw(of_others, "other"), train.fingerprint(), trigger)


def poisoned(train: ImageSet, plan: PoisonPlan, arm: Arm) -> tuple[Tensor, Tensor]:
    """Which images of an arm get the trigger, bool ``(N,)``, and the labels that it learns, int64 ``(N,)``.

    Poisoned images replace clean ones; none is added. The stored images stay clean.
    """
    mask = torch.zeros(len(train), dtype=torch.bool)
    mask[plan.indices(arm)] = True
    labels = train.labels.clone()
    if arm.poison == "dirty":
        labels[mask] = plan.target
    return mask, labels
