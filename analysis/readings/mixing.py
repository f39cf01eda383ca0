"""Family B: do triggered inputs and the target class share one place, or has the backdoor a place of its own?"""

from collections.abc import Callable

import torch
from torch import Tensor

from ...probes.linear import source_accuracy, trigger_separability
from ...probes.mdl import trigger_codelength
from ...probes.nulls import NO_INTERVAL, resampled_interval, t_interval
from ...representations.geometry import (
    mixing_of_kept,
    residual_energy_of_kept,
    residual_energy_of_noise,
    silhouette_of_kept,
)
from ...representations.graph import neighbour_graph
from .effect import posed
from .reading import Entry, Features, Found, Reading, Union

__all__ = ["ENTRIES"]

K = 10
FOLDS = 5
SHARED_PROBES = 1.4  # factor on the variance of a codelength


def _union(f: Features, subset: str) -> Union:
    f.need("C_t")
    f.need(subset)
    return f.union.of(f.mask(subset))


def _dealt(union: Union, stream: torch.Generator) -> Tensor:
    """Who is P after the labels of P and C_t are permuted: bool ``(m,)``."""
    return union.in_p[torch.randperm(len(union.in_p), generator=stream)]


def _mixing_statistic(union: Union, in_p: Tensor, seed: int) -> Callable[[Tensor], Tensor]:
    sizes = int(in_p.sum()), int((~in_p).sum())
    # Deep enough to hold K of those drawn, when the larger set is thinned out to the size of the smaller.
    depth = min(len(in_p) - 1, int((K + 4 * K**0.5 + 4) * max(sizes) / min(sizes)) + 1)
    graph = neighbour_graph(union.points, depth)
    return lambda keep: mixing_of_kept(graph, in_p, keep, k=K, seed=seed)


def _mixing(f: Features, subset: str) -> Found:
    union = _union(f, subset)
    statistic = _mixing_statistic(union, union.in_p, f.seed)
    n = min(int(union.in_p.sum()), int((~union.in_p).sum()))
    bounds = (0.0, (2 * n - 1) / n, 2.0 * n)
    # Fewer blocks than elsewhere: each value takes several draws.
    reading = f.jackknifed(statistic, len(union.in_p), of=subset, blocks=12, bounds=bounds, params=f"k={K}")
    return {"neighbour_mixing": reading}


def _mixed_mixing(f: Features, subset: str, stream: torch.Generator) -> dict[str, float]:
    union = _union(f, subset)
    every = torch.ones(1, len(union.in_p), dtype=torch.bool)
    return {"neighbour_mixing": float(_mixing_statistic(union, _dealt(union, stream), f.seed)(every))}


def _silhouette(f: Features, subset: str) -> Found:
    union = _union(f, subset)

    def statistic(keep: Tensor) -> Tensor:
        return silhouette_of_kept(union.distances, union.in_p, keep)

    return {"silhouette": f.jackknifed(statistic, len(union.in_p), of=subset)}


def _mixed_silhouette(f: Features, subset: str, stream: torch.Generator) -> dict[str, float]:
    union = _union(f, subset)
    every = torch.ones(1, len(union.in_p), dtype=torch.bool)
    return {"silhouette": float(silhouette_of_kept(union.distances, _dealt(union, stream), every))}


def _residual(f: Features, subset: str) -> Found:
    f.need(subset)

    def statistic(keep: Tensor) -> Tensor:
        return residual_energy_of_kept(f.clean, f.triggered, f.labels, f.target, keep, subset=f.mask(subset))

    return {"residual_energy": f.jackknifed(statistic, len(f.labels), of=subset)}


def _mixed_residual(f: Features, subset: str, stream: torch.Generator) -> dict[str, float]:
    f.need(subset)
    every, moved = torch.ones(1, len(f.labels), dtype=torch.bool), posed(f, stream)
    value = residual_energy_of_kept(f.clean, moved, f.labels, f.target, every, subset=f.mask(subset))
    return {"residual_energy": float(value)}


def _noise_residual(f: Features, _subset: str) -> Found:
    return {"residual_energy": Reading(residual_energy_of_noise(f.clean, f.labels), n=len(f.labels))}


def _source(f: Features, subset: str) -> Found:
    f.need(subset)
    scores = source_accuracy(f.points(subset), f.labels[f.mask(subset)], folds=FOLDS, seed=f.seed)
    return {"source_accuracy": f.averaged(scores, folds=FOLDS)}


def _mixed_source(f: Features, subset: str, stream: torch.Generator) -> dict[str, float]:
    size = f.need(subset)
    sources = f.labels[f.mask(subset)][torch.randperm(size, generator=stream)]
    return {"source_accuracy": float(source_accuracy(f.points(subset), sources, folds=FOLDS, seed=f.seed).nanmean())}


def _separability(f: Features, _subset: str) -> Found:
    probed = trigger_separability(*f.pairs("C_t"), seed=f.seed)
    size, readings = len(probed.scores), []
    for value, column, low in ((probed.auc, 0, 0.0), (probed.selectivity, 1, -1.0)):
        interval = NO_INTERVAL
        if f.intervals:
            interval = resampled_interval(probed.by_fold[:, column], folds=probed.folds, size=size, low=low)
        readings.append(Reading(value, interval, size))
    return {"trigger_separability": readings[0], "trigger_selectivity": readings[1]}


def _control_task(f: Features, _subset: str, stream: torch.Generator) -> dict[str, float]:
    seed = int(torch.randint(2**31, (1,), generator=stream))
    return {
        "trigger_separability": trigger_separability(*f.pairs("C_t"), seed=seed).control,
        "trigger_selectivity": 0.0,
    }


def _codelength(f: Features, _subset: str) -> Found:
    code = trigger_codelength(*f.pairs("C_t"), orders=3, seed=f.seed)
    interval = NO_INTERVAL
    if f.intervals:
        low, high = t_interval(code.scores)
        # Images are coded by shared probes: their scores alone gave intervals that held .85 to .9 (planted, n = 40).
        reach = SHARED_PROBES**0.5 * (high - low) / 2
        interval = max(0.0, code.value - reach), code.value + reach
    return {"trigger_codelength": Reading(code.value, interval, len(code.scores))}


ENTRIES = (
    Entry(("neighbour_mixing",), ("P", "P+"), _mixing, _mixed_mixing),
    Entry(("silhouette",), ("P", "P+"), _silhouette, _mixed_silhouette),
    Entry(("source_accuracy",), ("P", "P+"), _source, _mixed_source),
    Entry(("residual_energy",), ("P", "P+"), _residual, _mixed_residual, nulls={"within-noise": _noise_residual}),
    Entry(("trigger_separability", "trigger_selectivity"), ("C_t",), _separability, _control_task),
    Entry(("trigger_codelength",), ("C_t",), _codelength),
)
