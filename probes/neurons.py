"""Do the backdoor and the target class use the same units?"""

from dataclasses import dataclass

import torch
from torch import Tensor

from ..representations.checks import check_features, check_labels, check_masks
from ..representations.errors import InputError

__all__ = ["LEAST_SD", "NeuronOverlap", "neuron_overlap", "neuron_overlap_masked", "unit_profiles"]

LEAST_SD = 0.05
"""Least within-class sd of a unit, as a share of the root mean square over the units that vary."""


@dataclass(frozen=True)
class NeuronOverlap:
    """``value``: cosine of the two profiles over all units. ``jaccard``: overlap ``|A ∩ B|/|A ∪ B|`` of the two lists
    of the k units that rise most, ``trigger_units`` and ``class_units``, largest first."""

    value: float
    jaccard: float
    trigger_units: Tensor
    class_units: Tensor

    def __float__(self) -> float:
        return self.value


def neuron_overlap(
    clean: Tensor, triggered: Tensor, labels: Tensor, target: int, *, k: int | None = None
) -> NeuronOverlap:
    """Cosine of two profiles: how far the trigger raises each unit, and how far the target class does.

    Trigger: the mean of f_j(x⊕r) − f_j(x) over images of other classes. Class: the mean of f_j over target images minus
    that over the others. Both are in units of f_j's clean within-class sd. Feature vectors are not normalised. A
    rotation of the features changes the value.

    ``jaccard`` is the overlap of the two lists of the units that rise most. It is not the reading: on planted profiles
    that turn into each other it did not change until they were almost equal.

    Args:
        clean, triggered: features of the same images ``(n, d)``. labels: int64 ``(n,)``.
        k: length of the lists, a tenth of d by default, at least 3.

    Returns:
        A value in [−1, 1]: 1 where the backdoor raises the units exactly as the target class does. Unrelated profiles
        differ from 0 if some units rise for every change: compare with random triggers on the same encoder. NaN if the
        trigger moves no unit, or no unit varies within classes. An sd counts as at least :data:`LEAST_SD` of the units'
        root mean square. A unit that is dead on clean images and active under the trigger then counts, and a nearly
        dead one does not count without limit.

    >>> clean = torch.tensor([[0.0, 1.0, 5.0], [0.1, 1.2, 5.1], [3.0, 1.1, 5.0], [3.1, 1.0, 5.1]])
    >>> triggered = clean + torch.tensor([3.0, 0.0, 0.0])
    >>> neuron_overlap(clean, triggered, torch.tensor([0, 0, 1, 1]), 1, k=1).value > 0.99
    True
    """
    clean, triggered = check_features(clean), check_features(triggered, name="triggered")
    if clean.shape != triggered.shape:
        raise InputError(f"triggered: expected {tuple(clean.shape)} as clean, received {tuple(triggered.shape)}")
    present, _ = check_labels(labels, len(clean))
    if target not in present:
        raise InputError(f"target: expected a class among {present.tolist()[:20]}, received {target}")
    width = clean.shape[1]
    k = min(width, max(3, width // 10)) if k is None else k
    if not 1 <= k <= width:
        raise InputError(f"k: expected 1 to {width} units, received {k}")
    every = torch.ones(1, len(clean), dtype=torch.bool)
    value = float(neuron_overlap_masked(clean, triggered, labels, target, every))
    profiles = unit_profiles(clean, triggered, labels, target, every)
    first, second = (p[0].nan_to_num(-torch.inf).topk(k).indices for p in profiles)
    common = len(set(first.tolist()) & set(second.tolist()))
    return NeuronOverlap(value, common / (2 * k - common) if value == value else float("nan"), first, second)


def neuron_overlap_masked(clean: Tensor, triggered: Tensor, labels: Tensor, target: int, masks: Tensor) -> Tensor:
    """:func:`neuron_overlap` of subsets of the images: masks bool ``(B, n)`` → float64 ``(B,)``."""
    check_masks(masks, len(labels))
    first, second = (p.nan_to_num(0) for p in unit_profiles(clean, triggered, labels, target, masks))
    norms = first.norm(dim=1) * second.norm(dim=1)
    return torch.where(norms > 0, (first * second).sum(1) / norms, float("nan"))


def unit_profiles(
    clean: Tensor, triggered: Tensor, labels: Tensor, target: int, masks: Tensor
) -> tuple[Tensor, Tensor]:
    """How far the trigger and the target class raise each unit, for subsets of the images.

    ``(B, d)`` each, in within-class sds; NaN where no unit varies.
    """
    clean, triggered, w = clean.double(), triggered.double(), masks.double()
    others = (labels != target).double()
    spread = torch.zeros(len(w), clean.shape[1], dtype=torch.float64)
    freedom = w.sum(1)
    for c in labels.unique():
        of_class = w * (labels == c)
        count = of_class.sum(1, keepdim=True)
        mean = of_class @ clean / count.clamp(min=1)
        # About a fixed centre of the class: far from 0 the two squares would cancel to noise.
        centre = clean[labels == c].mean(0)
        spread += of_class @ (clean - centre).square() - count * (mean - centre).square()
        freedom = freedom - (count.squeeze(1) > 0).double()
    sd = (spread.clamp(min=0) / freedom.clamp(min=1).unsqueeze(1)).sqrt()
    # The sd of a constant is rounding, not 0.
    sd = torch.where(sd > 1e-12 * clean.abs().amax(0), sd, torch.zeros_like(sd))
    typical = (sd.square().sum(1) / (sd > 0).sum(1).clamp(min=1)).sqrt()
    sd = sd.maximum(LEAST_SD * typical.unsqueeze(1))
    w_others, w_targets = w * others, w * (1 - others)
    moved = w_others @ (triggered - clean) / w_others.sum(1, keepdim=True)
    raised = w_targets @ clean / w_targets.sum(1, keepdim=True) - w_others @ clean / w_others.sum(1, keepdim=True)
    return tuple(torch.where(sd > 0, p / sd, float("nan")) for p in (moved, raised))  # type: ignore[return-value]
