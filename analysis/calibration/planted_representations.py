"""Planted representations: features with known truth, on which readings are calibrated.

Two dials move independently of each other:

- **reach** a: share of triggered images of other classes that arrive at the target class; the others stay at their own.
- **residual** s: distance of triggered images from the distribution that they reach, in units of τ = 4 within-class
  standard deviations, along a direction of their own. 0 is inside the distribution, 1 clearly outside.

If *every* image moved part of the way, reach would not be independent of residual: a point short of the target has an
offset from it. Hits also divide images into those that arrive and those that do not.
"""

import math
from collections.abc import Mapping

import torch
from torch import Tensor

from ...probes.planted import read_learner
from ...representations.evaluators import knn_predict
from ...representations.seeds import generator
from ..panel.readings import ENTRIES, Features, read
from .plant import Plant, Values
from .planted_mixtures import MIXTURES
from .planted_networks import NETWORKS

__all__ = ["PLANTS", "REACHES", "RESIDUALS", "SHARES", "planted_features", "planted_units"]

TARGET, CLASSES, WIDTH = 0, 5, 32
SEPARATION = 6.0  # between class means, in within-class SDs: classes overlap, but can be distinguished
OFFSET = 4.0  # τ, at residual 1

RESIDUALS = (0.0, 0.25, 0.5, 0.75, 1.0)
REACHES = (0.5, 0.625, 0.75, 0.875, 1.0)
"""Reach is at least a half: hits then has as many images as clean_target, and mixing compares sets of equal size."""


def planted_features(
    n: int, *, reach: float, residual: float, ratio: int = 2, seed: int = 0, intervals: bool = False
) -> Features:
    """Features of ``n`` held-out target images and ``ratio`` times as many others, clean and triggered, d = 32.

    Classes are isotropic normal with standard deviation 1 about orthogonal means. The trigger does not change an
    image's within-class noise. Hits are the triggered images of other classes that weighted kNN sends
    to the target; where it sends the clean images does not matter here.
    """
    stream = generator(seed, "planted-features", n)

    def normal(*shape: int) -> Tensor:
        return torch.randn(*shape, generator=stream, dtype=torch.float64)

    axes = torch.linalg.qr(normal(WIDTH, CLASSES + 1)).Q.T
    means, own = axes[:CLASSES] * SEPARATION / math.sqrt(2), axes[CLASSES]
    labels = torch.cat([torch.full((n,), TARGET), torch.randint(1, CLASSES, (ratio * n,), generator=stream)])
    noise = normal(len(labels), WIDTH)
    clean = means[labels] + noise
    arrives = (torch.rand(len(labels), generator=stream) < reach).unsqueeze(1)
    triggered = torch.where(arrives, means[TARGET] + noise, clean) + residual * OFFSET * own
    bank_labels = torch.arange(50 * CLASSES) % CLASSES
    bank = means[bank_labels] + normal(len(bank_labels), WIDTH)
    others = labels != TARGET
    hits = (knn_predict(triggered, bank, bank_labels) == TARGET) & others
    augmented = triggered[others] + 0.3 * normal(ratio * n, WIDTH)
    return Features(clean, triggered, augmented, labels, TARGET, hits, bank, bank_labels, seed, intervals)


# The subset of each calibrated reading: hits, where ``triggered`` would include images that never arrived.
SUBSETS = {"neighbour_mixing": "hits", "silhouette": "hits", "residual_energy": "hits", "source_accuracy": "triggered"}
SUBSETS |= dict.fromkeys(("trigger_separability", "trigger_selectivity", "trigger_codelength"), "clean_target")


def _read_features(n: int, dials: Mapping[str, float], seed: int, intervals: bool) -> Values:
    f = planted_features(n, reach=dials["reach"], residual=dials["residual"], seed=seed, intervals=intervals)
    every = frozenset(m for entry in ENTRIES if entry.standard != "never" for m in entry.measures)
    found = read(f, every if intervals else frozenset(SUBSETS))
    used = {key: r for key, r in found.items() if intervals or SUBSETS[key[0]] == key[1]}
    return {key: (r.value, *r.interval) for key, r in used.items()}


def _read_unbalanced(n: int, dials: Mapping[str, float], seed: int, intervals: bool) -> Values:
    """Readings of family B where hits is nearly nine times as large as clean_target, as with ten equal classes."""
    f = planted_features(n, reach=dials["reach"], residual=dials["residual"], ratio=9, seed=seed, intervals=intervals)
    found = read(f, frozenset(SUBSETS))
    return {key: (r.value, *r.interval) for key, r in found.items() if SUBSETS[key[0]] == key[1]}


UNITS = 40
APART, MOVED = 4.0, 6.0  # distance of the two class means, and how far the trigger moves, in within-class sds
SHARES = (0.0, 0.25, 0.5, 0.75, 1.0)


def planted_units(n: int, *, sharing: float, seed: int = 0, intervals: bool = False) -> Features:
    """Features of ``n`` target images and ``2n`` of one other class, d = 40.

    The classes differ along one profile of units. The trigger moves images along ``sharing`` times this profile plus
    √(1 − sharing²) times another. Both profiles are the same in all draws. Noise has an SD of 1 in the images, and of
    .5 in the trigger's effect.
    """
    profiles = torch.randn(UNITS, 2, generator=generator(0, "planted-profiles"), dtype=torch.float64)
    ours, own = torch.linalg.qr(profiles).Q.T
    stream = generator(seed, "planted-units", n)

    def draw(labels: Tensor) -> Tensor:
        noise = torch.randn(len(labels), UNITS, generator=stream, dtype=torch.float64)
        return (labels == TARGET).double().unsqueeze(1) * APART * ours + noise

    labels = torch.cat([torch.full((n,), TARGET), torch.ones(2 * n, dtype=torch.int64)])
    clean = draw(labels)
    moves = MOVED * (sharing * ours + math.sqrt(1 - sharing**2) * own)
    triggered = clean + moves + 0.5 * torch.randn(clean.shape, generator=stream, dtype=torch.float64)
    bank_labels = torch.arange(400) % 2
    bank, others = draw(bank_labels), labels != TARGET
    hits = (knn_predict(triggered, bank, bank_labels) == TARGET) & others
    return Features(clean, triggered, triggered[others], labels, TARGET, hits, bank, bank_labels, seed, intervals)


def _read_units(n: int, dials: Mapping[str, float], seed: int, intervals: bool) -> Values:
    f = planted_units(n, sharing=dials["sharing"], seed=seed, intervals=intervals)
    return {key: (r.value, *r.interval) for key, r in read(f, {"neuron_overlap", "erasure_cost_acc"}).items()}


def _read_learner(n: int, dials: Mapping[str, float], seed: int, intervals: bool) -> Values:
    found = read_learner(dials["sharing"], n, seed)
    nan = float("nan")  # a value that is not estimable is no evidence
    return {("interference", "clean"): (found.value, *found.interval) if found.status == "ok" else (nan,) * 3}


PLANTS = (
    Plant(
        "representations",
        "Five normal classes in 32 dimensions, n images of the target and 2n others. *Reach*: share of triggered "
        "images of other classes that arrive at the target class. *Residual*: their offset from it along a direction "
        "of their own, in units of 4 within-class standard deviations.",
        _read_features,
        {"residual": RESIDUALS, "reach": REACHES},
        {"residual": 0.5, "reach": 0.75},
        tuple({"residual": s, "reach": a} for s, a in ((0.0, 1.0), (0.5, 0.75), (1.0, 0.75))),
    ),
    Plant(
        "unbalanced",
        "The same with 9n others, as with ten equal classes: for coverage only, at n = 40.",
        _read_unbalanced,
        {},
        {},
        tuple({"residual": s, "reach": a} for s, a in ((0.0, 1.0), (0.5, 1.0), (1.0, 1.0))),
        counted=(40,),
    ),
    Plant(
        "units",
        "Two classes that differ along a profile of 40 units. *Sharing*: cosine of the trigger's profile and that of "
        "the classes.",
        _read_units,
        {"sharing": SHARES},
        {"sharing": 0.5},
        tuple({"sharing": s} for s in (0.0, 0.5, 1.0)),
    ),
    Plant(
        "learners",
        "Networks with two convolutions for each task, ten classes, n images. *Sharing*: cosine of the mean gradients "
        "of the two tasks: 0 for disjoint parameters, 1 for two copies of one task.",
        _read_learner,
        {"sharing": SHARES},
        {"sharing": 0.5},
        # Not at 0: gradients on disjoint parameters are orthogonal in every replicate.
        tuple({"sharing": s} for s in (0.25, 0.5, 1.0)),
        counted=(200, 1000),
        sizes=(200, 1000),
        redraws=200,
        truth=lambda dials: dials["sharing"],
    ),
    *MIXTURES,
    *NETWORKS,
)
