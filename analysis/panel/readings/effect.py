"""Family A: effect of the backdoor in features. It is no evidence of entanglement."""

import torch
from torch import Tensor

from ....representations.geometry import confusion_ratio, displacement_cosine_masked, distance_ratio_masked
from ....representations.graph import pairwise_distances
from .reading import Entry, Features, Readings

__all__ = ["ENTRIES", "moved_to_target"]


def moved_to_target(f: Features, stream: torch.Generator) -> Tensor:
    """Triggered features under full mixing: those of random clean target images, ``(n, d)``."""
    targets = f.points("clean_target")
    return targets[torch.randint(len(targets), (len(f.labels),), generator=stream)]


def _ratio(triggered: Tensor, f: Features) -> tuple[Tensor, Tensor]:
    return pairwise_distances(triggered, f.points("clean_other")), pairwise_distances(
        triggered, f.points("clean_target")
    )


def _distance_ratio(f: Features, subset: str) -> Readings:
    f.need("clean_target")
    to_others, to_targets = _ratio(f.points(subset), f)
    others, of_target = f.mask("clean_other"), f.mask("clean_target")

    def statistic(masks: Tensor) -> Tensor:
        of_others = masks[:, others]  # an image is left out in both its versions
        return distance_ratio_masked(to_others, to_targets, of_others, of_others, masks[:, of_target])

    return {"distance_ratio": f.jackknifed(statistic, len(f.labels), of=subset)}


def _together_ratio(f: Features, subset: str, stream: torch.Generator) -> dict[str, float]:
    f.need("clean_target")
    to_others, to_targets = _ratio(moved_to_target(f, stream)[f.mask(subset)], f)
    every = (torch.ones(1, n, dtype=torch.bool) for n in (*to_others.shape, to_targets.shape[1]))
    # Such a point is a copy of a target image: its distance to itself is no distance to the class.
    targets = to_targets.shape[1]
    return {"distance_ratio": float(distance_ratio_masked(to_others, to_targets, *every)) * (targets - 1) / targets}


def _confusion(f: Features, _subset: str) -> Readings:
    scores = confusion_ratio(f.augmented, f.bank, f.bank_labels, f.target)
    return {"confusion_ratio": f.averaged(scores, note="reimplemented")}


def _displacement(f: Features, subset: str) -> Readings:
    f.need("clean_target")
    f.need(subset)

    def statistic(masks: Tensor) -> Tensor:
        return displacement_cosine_masked(f.clean, f.triggered, f.labels, f.target, masks, subset=f.mask(subset))

    return {"displacement_cosine": f.jackknifed(statistic, len(f.labels), of=subset)}


def _together_displacement(f: Features, subset: str, stream: torch.Generator) -> dict[str, float]:
    f.need(subset)
    every = torch.ones(1, len(f.labels), dtype=torch.bool)
    moved = moved_to_target(f, stream)
    value = displacement_cosine_masked(f.clean, moved, f.labels, f.target, every, subset=f.mask(subset))
    return {"displacement_cosine": float(value)}


ENTRIES = (
    Entry(("distance_ratio",), ("triggered",), _distance_ratio, _together_ratio),
    Entry(("confusion_ratio",), ("triggered",), _confusion),
    Entry(("displacement_cosine",), ("triggered",), _displacement, _together_displacement),
)
