"""Planted mixtures: hits of which a known share lies inside the target class, for the absolute readings of geometry.

A share **m** of the hits is drawn from the target class's own distribution. The others are in a place of their own.
Beside this truth, dials move what a reading should not follow: how many images are hit (*reach*), how far the own place
is (*residual*), how wide it is (*spread*), how near the class means are (*separation*, and with it ACC), how many other
images there are (*imbalance*), the *width* of the layer, and the shape of the noise (*world*).

*Overall spread* scales all hits about their centres, those inside the class too. Then m is no longer the share that has
the class's distribution: at m = 1 the hits are a tighter or wider cloud at the same place. It shows which difference a
reading takes for a place of its own.
"""

import math
from collections.abc import Mapping
from functools import partial

import torch
from torch import Tensor

from ...representations.seeds import generator
from ..panel.readings import Features, Reading
from ..panel.readings.two_sets import ENTRIES
from .plant import Plant, Values

__all__ = ["MIXTURES", "REST", "planted_mixture"]

TARGET, CLASSES = 0, 5
VARIANCE = 24.0  # total variance within a class, at every width
OFFSET = 4.0  # distance of the own place from the target's mean, at residual 1
READ = ("smaller_side_mixing", "energy_coefficient")

SHARES = (0.0, 0.25, 0.5, 0.75, 1.0)
REST = {
    "mixing": 0.5,
    "reach": 0.75,
    "residual": 1.5,
    "spread": 1.0,
    "overall_spread": 1.0,
    "separation": 6.0,
    "imbalance": 2.0,
}
REST |= {"width": 128.0, "world": 0.0}
OTHERS: dict[str, tuple[float, ...]] = {
    "reach": (0.5, 0.625, 0.75, 1.0),
    "residual": (1.0, 1.5, 2.0, 3.0),
    "spread": (0.3, 0.6, 1.0, 1.5),
    "overall_spread": (0.6, 0.8, 1.0, 1.25),
    "separation": (2.0, 3.0, 4.0, 6.0),
    "imbalance": (0.5, 1.0, 2.0, 9.0),
    "width": (24.0, 128.0, 512.0),
    "world": (0.0, 1.0, 2.0),
}
"""Settings of every dial but m. world: 0 normal, 1 multivariate t with five degrees of freedom, 2 exponential."""


def planted_mixture(
    n: int,
    *,
    mixing: float,
    reach: float,
    residual: float,
    spread: float,
    overall_spread: float,
    separation: float,
    imbalance: float,
    width: float,
    world: float,
    seed: int = 0,
    intervals: bool = False,
) -> Features:
    """Features of ``n`` target images and ``imbalance``·n others, clean and triggered.

    The noise within a class has the spectrum λ_i ∝ 1/i and a total variance of 24 at every width, as layers do that are
    wider than what they represent. Class means are orthogonal, ``separation`` apart, and the own place is
    4·``residual`` from the target's mean along a direction of its own. Hits are known here: no evaluator decides.
    """
    stream, d = generator(seed, "planted-mixtures", n), int(width)
    spectrum = 1 / torch.arange(1, d + 1, dtype=torch.float64)
    scale = (spectrum * VARIANCE / spectrum.sum()).sqrt()
    turn = torch.linalg.qr(torch.randn(d, d, generator=stream, dtype=torch.float64)).Q
    axes = torch.linalg.qr(torch.randn(d, CLASSES + 1, generator=stream, dtype=torch.float64)).Q.T
    means, own = axes[:CLASSES] * separation / math.sqrt(2), axes[CLASSES]

    def noise(count: int) -> Tensor:
        return (_unit_noise(int(world), count, d, stream) * scale) @ turn

    labels = torch.cat([torch.full((n,), TARGET), 1 + torch.arange(round(imbalance * n)) % (CLASSES - 1)])
    clean = means[labels] + noise(len(labels))
    hits = (labels != TARGET) & (torch.rand(len(labels), generator=stream) < reach)
    inside = torch.rand(len(labels), generator=stream) < mixing
    fresh = overall_spread * noise(len(labels))
    place = torch.where(inside.unsqueeze(1), fresh, spread * fresh + residual * OFFSET * own)
    triggered = torch.where(hits.unsqueeze(1), means[TARGET] + place, clean)
    nothing = clean[:0]
    return Features(clean, triggered, nothing, labels, TARGET, hits, nothing, labels[:0], seed, intervals)


def _unit_noise(world: int, count: int, d: int, stream: torch.Generator) -> Tensor:
    """Noise ``(count, d)`` with mean 0 and variance 1 in each column."""
    normal = torch.randn(count, d, generator=stream, dtype=torch.float64)
    if world == 1:
        chi2 = torch.randn(count, 5, generator=stream, dtype=torch.float64).square().sum(1, keepdim=True)
        return normal * (3 / chi2).sqrt()
    if world == 2:
        return -torch.rand(count, d, generator=stream, dtype=torch.float64).clamp(min=1e-300).log() - 1
    return normal


def _read(n: int, dials: Mapping[str, float], seed: int, intervals: bool) -> Values:
    f = planted_mixture(n, **dials, seed=seed, intervals=intervals)
    found: dict[str, Reading] = {}
    for entry in ENTRIES:
        found |= entry.guarded(partial(entry.read, f, "hits"))
    return {(name, "hits"): (found[name].value, *found[name].interval) for name in READ}


MIXTURES = (
    Plant(
        "mixtures",
        "Five classes, n images of the target and 2n others; three quarters of these are hits. *Mixing*: share m of "
        "the hits that is drawn from the target class's distribution. The others are in a place of their own, 6 from "
        "the target's mean, where a class has a total variance of 24.",
        _read,
        {"mixing": SHARES},
        REST,
        (
            *(REST | {"mixing": m} for m in (0.0, 0.25, 0.5, 1.0)),
            REST | {"spread": 0.3},
            REST | {"imbalance": 9.0},
            REST | {"world": 1.0},
            REST | {"world": 2.0},
        ),
        redraws=200,
    ),
    *(
        Plant(
            f"mixtures, m = {m:g}",
            "The same, in which the other dials move.",
            _read,
            OTHERS,
            REST | {"mixing": m},
            (),
            sizes=(200,),
        )
        for m in (0.0, 0.5, 1.0)
    ),
)
