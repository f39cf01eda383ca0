"""Family A: effect of the backdoor in features, and restatements of it. It is no evidence of entanglement.

Residual energy and source accuracy are here too: on planted truth they follow how far, and how many, images move.
"""

import torch
from torch import Tensor

from ....probes.linear import source_accuracy
from ....representations.geometry import (
    confusion_ratio,
    displacement_cosine_masked,
    distance_ratio_masked,
    residual_energy_masked,
    residual_energy_of_noise,
)
from ....representations.graph import pairwise_distances
from ...results.reading import Reading
from .reading import Entry, Features, Readings

__all__ = ["ENTRIES"]

FOLDS = 5


def _moved_to_target(f: Features, stream: torch.Generator) -> Tensor:
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
    to_others, to_targets = _ratio(_moved_to_target(f, stream)[f.mask(subset)], f)
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
    moved = _moved_to_target(f, stream)
    value = displacement_cosine_masked(f.clean, moved, f.labels, f.target, every, subset=f.mask(subset))
    return {"displacement_cosine": float(value)}


def _residual(f: Features, subset: str) -> Readings:
    f.need("clean_target")
    f.need(subset)

    def statistic(masks: Tensor) -> Tensor:
        return residual_energy_masked(f.clean, f.triggered, f.labels, f.target, masks, subset=f.mask(subset))

    return {"residual_energy": f.jackknifed(statistic, len(f.labels), of=subset)}


def _together_residual(f: Features, subset: str, stream: torch.Generator) -> dict[str, float]:
    f.need(subset)
    every, moved = torch.ones(1, len(f.labels), dtype=torch.bool), _moved_to_target(f, stream)
    value = residual_energy_masked(f.clean, moved, f.labels, f.target, every, subset=f.mask(subset))
    return {"residual_energy": float(value)}


def _noise_residual(f: Features, _subset: str) -> Readings:
    return {"residual_energy": Reading(residual_energy_of_noise(f.clean, f.labels), n=len(f.labels))}


def _source(f: Features, subset: str) -> Readings:
    f.need(subset)
    scores = source_accuracy(f.points(subset), f.labels[f.mask(subset)], folds=FOLDS, seed=f.seed)
    return {"source_accuracy": f.averaged(scores, folds=FOLDS)}


def _together_source(f: Features, subset: str, stream: torch.Generator) -> dict[str, float]:
    size = f.need(subset)
    sources = f.labels[f.mask(subset)][torch.randperm(size, generator=stream)]
    return {"source_accuracy": float(source_accuracy(f.points(subset), sources, folds=FOLDS, seed=f.seed).nanmean())}


ENTRIES = (
    Entry(("distance_ratio",), ("triggered",), _distance_ratio, _together_ratio),
    Entry(("confusion_ratio",), ("triggered",), _confusion),
    Entry(("displacement_cosine",), ("triggered",), _displacement, _together_displacement),
    Entry(("source_accuracy",), ("triggered", "hits"), _source, _together_source),
    Entry(
        ("residual_energy",),
        ("triggered", "hits"),
        _residual,
        _together_residual,
        nulls={"within-noise": _noise_residual},
    ),
)
