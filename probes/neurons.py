"""Do the backdoor and the target class use the same units?"""

from dataclasses import dataclass

import torch
from torch import Tensor

from ..representations.checks import check_features, check_labels
from ..representations.errors import InputError

__all__ = ["NeuronOverlap", "neuron_overlap", "neuron_overlap_of_kept", "unit_profiles"]


@dataclass(frozen=True)
class NeuronOverlap:
    """``value``: Jaccard overlap of the two lists. ``trigger_units``, ``class_units``: their units, loudest first.
    ``correlation``: cosine of the two profiles over all units, which does not hang on where a list ends."""

    value: float
    trigger_units: Tensor
    class_units: Tensor
    correlation: float

    def __float__(self) -> float:
        return self.value


def neuron_overlap(
    clean: Tensor, triggered: Tensor, labels: Tensor, target: int, *, k: int | None = None
) -> NeuronOverlap:
    """Overlap of the k units that the trigger raises most in other classes with the k that tell the target class.

    Trigger: mean over non-targets of f_j(x⊕r) − f_j(x); class: mean of f_j over targets minus that over non-targets; both
    in units of f_j's clean within-class sd. |A ∩ B|/|A ∪ B| of the k largest of each. Each unit counts as it is, without
    normalisation of the feature vectors: a rotation of the features changes the value.

    Args:
        clean, triggered: features of the same images ``(n, d)``. labels: int64 ``(n,)``. k: a tenth of d by default, at
            least 3: a class of a small encoder lives in a few units.

    Returns:
        A value in [0, 1]: 1 where the backdoor drives exactly the target's units. By chance k/(2d − k), but that is not
        the null: units that are loud top every list. Compare with random triggers on the same encoder. NaN if the
        trigger moves nothing. Units that are constant over all clean images have no sd, and are left out.

    >>> clean = torch.tensor([[0.0, 1.0, 5.0], [0.1, 1.2, 5.1], [3.0, 1.1, 5.0], [3.1, 1.0, 5.2]])
    >>> triggered = clean + torch.tensor([3.0, 0.0, 0.0])
    >>> neuron_overlap(clean, triggered, torch.tensor([0, 0, 1, 1]), 1, k=1).value
    1.0
    """
    clean, triggered = check_features(clean), check_features(triggered, name="triggered")
    if clean.shape != triggered.shape:
        raise InputError(f"triggered: expected {tuple(clean.shape)} as clean, received {tuple(triggered.shape)}")
    present, _ = check_labels(labels, len(clean))
    if target not in present:
        raise InputError(f"target: expected a class among {present.tolist()[:20]}, received {target}")
    k = _listed(clean.shape[1], k)
    every = torch.ones(1, len(clean), dtype=torch.bool)
    by_trigger, by_class = (profile[0] for profile in unit_profiles(clean, triggered, labels, target, every))
    value = float(_jaccard(by_trigger.unsqueeze(0), by_class.unsqueeze(0), k))
    first, second = by_trigger.nan_to_num(0), by_class.nan_to_num(0)
    norms = first.norm() * second.norm()
    cosine = float(first @ second / norms) if norms > 0 else float("nan")
    units = (p.nan_to_num(-torch.inf).topk(k).indices for p in (by_trigger, by_class))
    return NeuronOverlap(value, *units, cosine)


def neuron_overlap_of_kept(
    clean: Tensor, triggered: Tensor, labels: Tensor, target: int, keep: Tensor, *, k: int | None = None
) -> Tensor:
    """The same for subsets of the images: keep bool ``(B, n)`` → float64 ``(B,)``."""
    by_trigger, by_class = unit_profiles(clean, triggered, labels, target, keep)
    return _jaccard(by_trigger, by_class, _listed(clean.shape[1], k))


def unit_profiles(clean: Tensor, triggered: Tensor, labels: Tensor, target: int, keep: Tensor) -> tuple[Tensor, Tensor]:
    """How much each unit is raised by the trigger, and by the target class, for subsets of the images: ``(B, d)`` each,
    in within-class sds; NaN for units that do not vary."""
    clean, triggered, w = clean.double(), triggered.double(), keep.double()
    others = (labels != target).double()
    spread = torch.zeros(len(w), clean.shape[1], dtype=torch.float64)
    freedom = w.sum(1)
    for c in labels.unique():
        of_class = w * (labels == c)
        count = of_class.sum(1, keepdim=True)
        mean = of_class @ clean / count.clamp(min=1)
        # About a fixed centre of the class: the two squares would cancel to noise far from 0.
        centre = clean[labels == c].mean(0)
        spread += of_class @ (clean - centre).square() - count * (mean - centre).square()
        freedom = freedom - (count.squeeze(1) > 0).double()
    sd = (spread.clamp(min=0) / freedom.clamp(min=1).unsqueeze(1)).sqrt()
    told = sd > 1e-12 * clean.abs().amax(0)
    w_others, w_targets = w * others, w * (1 - others)
    moved = w_others @ (triggered - clean) / w_others.sum(1, keepdim=True)
    raised = w_targets @ clean / w_targets.sum(1, keepdim=True) - w_others @ clean / w_others.sum(1, keepdim=True)
    return tuple(torch.where(told, p / sd, float("nan")) for p in (moved, raised))  # type: ignore[return-value]


def _listed(width: int, k: int | None) -> int:
    k = min(width, max(3, width // 10)) if k is None else k
    if not 1 <= k <= width:
        raise InputError(f"k: expected 1 to {width} units, received {k}")
    return k


def _jaccard(first: Tensor, second: Tensor, k: int) -> Tensor:
    lists = []
    for profile in (first, second):
        known = profile.nan_to_num(-torch.inf)
        chosen = torch.zeros_like(known, dtype=torch.bool).scatter_(1, known.topk(k, dim=1).indices, True)
        lists.append(chosen & (known > -torch.inf))
    a, b = lists
    value = (a & b).sum(1) / (a | b).sum(1).double()
    still = ~(first.nan_to_num(0) != 0).any(1)
    return torch.where(still, float("nan"), value)
