"""Family B: mixing. Do triggered images lie among the target class, or in a place of their own?"""

from collections.abc import Callable

import torch
from torch import Tensor

from ....probes.linear import source_accuracy, trigger_separability
from ....probes.mdl import trigger_codelength
from ....probes.nulls import NO_INTERVAL, resampled_interval, t_interval
from ....representations.errors import InputError
from ....representations.geometry import (
    mixing_masked,
    residual_energy_masked,
    residual_energy_of_noise,
    silhouette_masked,
)
from ....representations.graph import NeighbourGraph, neighbour_graph
from ....representations.seeds import generator
from ...results.reading import Reading
from .effect import moved_to_target
from .reading import Entry, Features, Readings, Union

__all__ = ["ENTRIES"]

K = 10
FOLDS = 5
SHARED_PROBES = 1.4  # factor on the variance of a codelength


def _union(f: Features, subset: str) -> Union:
    f.need("clean_target")
    f.need(subset)
    return f.once(f"union of {subset}", lambda: f.union.of(f.mask(subset)))


def _permuted(union: Union, stream: torch.Generator) -> Tensor:
    """Permuted labels of a union, bool ``(m,)``: which points count as triggered."""
    return union.in_triggered[torch.randperm(len(union.in_triggered), generator=stream)]


def _mixing_statistic(f: Features, subset: str, in_triggered: Tensor) -> Callable[[Tensor], Tensor]:
    """Mixing of subsets of the union, from one graph, as a function of masks.

    The depth that the graph needs depends on the data. Where triggered images form a cluster of their own, nearly all
    neighbours of its points lie in it, and few of them are drawn. A graph that is too shallow is built again, deeper.
    The graph breaks ties by the order of its points, so that the points are shuffled first.
    """
    union = _union(f, subset)
    order = torch.randperm(len(in_triggered), generator=generator(f.seed, "mixing"))
    every, sizes = len(in_triggered) - 1, (int(in_triggered.sum()), int((~in_triggered).sum()))
    first = min(every, int((K + 4 * K**0.5 + 4) * max(sizes) / min(sizes)) + 1)

    def graph(depth: int) -> NeighbourGraph:
        return f.once(f"graph of {subset}, {depth}", lambda: neighbour_graph(union.points[order], depth))

    def statistic(masks: Tensor) -> Tensor:
        depth = first
        while True:
            try:
                return mixing_masked(graph(depth), in_triggered[order], masks[:, order], k=K, seed=f.seed)
            except InputError:
                if depth == every:
                    raise
                depth = min(every, 3 * depth)

    return statistic


def _mixing(f: Features, subset: str) -> Readings:
    union = _union(f, subset)
    statistic = _mixing_statistic(f, subset, union.in_triggered)
    n = min(int(union.in_triggered.sum()), int((~union.in_triggered).sum()))
    bounds = (0.0, (2 * n - 1) / n, 2.0 * n)
    # Without the correction for curvature: counts of neighbours are rough, and their second differences are noise. On
    # planted truth, n = 200, it gave coverages of .80 (partly mixed) and .92 (apart) instead of .95. Without it they
    # are .93 and .95, and 1.00 where the sets are one.
    reading = f.jackknifed(
        statistic, len(union.in_triggered), of=subset, curvature=False, bounds=bounds, note=f"k = {K}"
    )
    return {"neighbour_mixing": reading}


def _together_mixing(f: Features, subset: str, stream: torch.Generator) -> dict[str, float]:
    union = _union(f, subset)
    every = torch.ones(1, len(union.in_triggered), dtype=torch.bool)
    return {"neighbour_mixing": float(_mixing_statistic(f, subset, _permuted(union, stream))(every))}


def _silhouette(f: Features, subset: str) -> Readings:
    union = _union(f, subset)

    def statistic(masks: Tensor) -> Tensor:
        return silhouette_masked(union.distances, union.in_triggered, masks)

    return {"silhouette": f.jackknifed(statistic, len(union.in_triggered), of=subset)}


def _together_silhouette(f: Features, subset: str, stream: torch.Generator) -> dict[str, float]:
    union = _union(f, subset)
    every = torch.ones(1, len(union.in_triggered), dtype=torch.bool)
    return {"silhouette": float(silhouette_masked(union.distances, _permuted(union, stream), every))}


def _residual(f: Features, subset: str) -> Readings:
    f.need("clean_target")
    f.need(subset)

    def statistic(masks: Tensor) -> Tensor:
        return residual_energy_masked(f.clean, f.triggered, f.labels, f.target, masks, subset=f.mask(subset))

    return {"residual_energy": f.jackknifed(statistic, len(f.labels), of=subset)}


def _together_residual(f: Features, subset: str, stream: torch.Generator) -> dict[str, float]:
    f.need(subset)
    every, moved = torch.ones(1, len(f.labels), dtype=torch.bool), moved_to_target(f, stream)
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


def _separability(f: Features, subset: str) -> Readings:
    f.need(subset)
    probed = trigger_separability(*f.pairs("clean_target"), seed=f.seed)
    size, readings = len(probed.scores), []
    for value, column, low in ((probed.auc, 0, 0.0), (probed.selectivity, 1, -1.0)):
        interval = NO_INTERVAL
        if f.intervals:
            interval = resampled_interval(probed.by_fold[:, column], folds=probed.folds, size=size, low=low)
        readings.append(Reading(value, interval, size))
    return {"trigger_separability": readings[0], "trigger_selectivity": readings[1]}


def _control_task(f: Features, subset: str, stream: torch.Generator) -> dict[str, float]:
    f.need(subset)
    seed = int(torch.randint(2**31, (1,), generator=stream))
    return {
        "trigger_separability": trigger_separability(*f.pairs("clean_target"), seed=seed).control,
        "trigger_selectivity": 0.0,
    }


def _codelength(f: Features, _subset: str) -> Readings:
    code = trigger_codelength(*f.pairs("clean_target"), orders=3, seed=f.seed)
    interval = NO_INTERVAL
    if f.intervals:
        low, high = t_interval(code.scores)
        # Images share probes: intervals from their scores alone had a coverage of .85 to .9 (planted, n = 40).
        reach = SHARED_PROBES**0.5 * (high - low) / 2
        interval = max(0.0, code.value - reach), code.value + reach
    return {"trigger_codelength": Reading(code.value, interval, len(code.scores))}


ENTRIES = (
    Entry(("neighbour_mixing",), ("triggered", "hits"), _mixing, _together_mixing),
    Entry(("silhouette",), ("triggered", "hits"), _silhouette, _together_silhouette),
    Entry(("source_accuracy",), ("triggered", "hits"), _source, _together_source),
    Entry(
        ("residual_energy",),
        ("triggered", "hits"),
        _residual,
        _together_residual,
        nulls={"within-noise": _noise_residual},
    ),
    Entry(("trigger_separability", "trigger_selectivity"), ("clean_target",), _separability, _control_task),
    Entry(("trigger_codelength",), ("clean_target",), _codelength),
)
