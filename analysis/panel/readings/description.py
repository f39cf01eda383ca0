"""Family E: description of a representation. It is no evidence of entanglement."""

from collections.abc import Callable
from functools import partial

import torch
from torch import Tensor

from ....probes.linear import ridge_head
from ....probes.neurons import neuron_overlap, neuron_overlap_masked
from ....probes.nulls import NO_INTERVAL, jackknife_interval, t_interval
from ....representations.geometry import (
    class_displacements,
    effective_rank,
    fisher_ratio_masked,
    inverse_lid,
    nc1,
    nc2,
    nc3,
    purity,
    rankme,
    span_of_differences,
    spectrum_decay,
    subspace_overlap,
    two_nn,
    uniformity_masked,
)
from ....representations.graph import NeighbourGraph, neighbour_graph
from ....representations.seeds import generator
from ....representations.similarity import cka, cka_masked, gram
from ....representations.subset_masks import masked_graph
from ...results.reading import Reading
from .reading import Entry, Features, Readings

__all__ = ["ENTRIES", "cka_reading"]

K = 10
LID_K = 20
BLOCKS = 12  # of the jackknife of readings of a graph


def cka_reading(x: Tensor, y: Tensor, seed: int, *, intervals: bool = True) -> Reading:
    """Debiased linear CKA with its interval. The jackknife leaves out an image in both representations."""
    k, m = gram(x), gram(y)

    def statistic(masks: Tensor) -> Tensor:
        return cka_masked(k, m, masks)

    interval = jackknife_interval(statistic, len(x), seed=seed, near_one=True) if intervals else NO_INTERVAL
    return Reading(cka(x, y), interval, len(x))


def _cka(f: Features, pair: str) -> Readings:
    f.need(pair)
    return {"cka": cka_reading(*f.pairs(pair.split("~")[0]), f.seed, intervals=f.intervals)}


def _permuted_cka(f: Features, pair: str) -> Readings:
    """CKA without pairing: triggered images against clean versions of other images. Mean of 5 draws."""
    f.need(pair)
    x, y = f.pairs(pair.split("~")[0])
    draws = [y[torch.randperm(len(y), generator=generator(f.seed, "permuted", i))] for i in range(5)]
    return {"cka": Reading(sum(cka(x, shuffled) for shuffled in draws) / len(draws), n=len(x), note="mean of 5 draws")}


def _read(name: str, measure: Callable[[Tensor], float], f: Features, subset: str) -> Readings:
    """A measure of the spectrum. With the correction for curvature its intervals were too short."""
    f.need(subset)
    points = f.points(subset)
    return {name: f.recomputed(lambda mask: measure(points[mask]), len(points), of=subset, curvature=False)}


def _of_classes(name: str, measure: Callable[[Tensor, Tensor], float], f: Features, subset: str) -> Readings:
    f.need(subset)
    return {name: f.recomputed(lambda mask: measure(f.clean[mask], f.labels[mask]), len(f.labels), of=subset)}


def _fisher(f: Features, subset: str) -> Readings:
    f.need(subset)
    return {"fisher_ratio": f.jackknifed(partial(fisher_ratio_masked, f.clean, f.labels), len(f.labels), of=subset)}


def _probe_weight(f: Features, subset: str) -> Readings:
    """NC3 with the weights of the ridge probe, which exists for every encoder."""
    f.need(subset)

    def measure(mask: Tensor) -> float:
        present, codes = f.labels[mask].unique(return_inverse=True)
        return nc3(f.clean[mask], codes, ridge_head(f.clean[mask], codes, len(present)).weight)

    return {"nc3": f.recomputed(measure, len(f.labels), of=subset, note="weights of the ridge probe")}


def _dimensions(f: Features, subset: str) -> Readings:
    """TwoNN and LID from one graph."""
    count = f.need(subset)
    k = min(LID_K, count // 2 - 1)
    graph = _graph(f, subset)
    duplicates = two_nn(graph).duplicates

    def two(masks: Tensor) -> Tensor:
        return torch.tensor([two_nn(masked_graph(graph, mask, 2)).value for mask in masks], dtype=torch.float64)

    def local(masks: Tensor) -> Tensor:
        # Inverses are averaged, not dimensions: a few points would dominate that mean.
        return torch.stack([1 / inverse_lid(masked_graph(graph, mask, k), k=k).nanmean() for mask in masks])

    return {
        "two_nn": f.jackknifed(two, count, of=subset, note=f"{duplicates} duplicates"),
        "lid": f.jackknifed(local, count, of=subset, blocks=BLOCKS, note=f"k = {k}"),
    }


def _graph(f: Features, subset: str) -> NeighbourGraph:
    """The neighbour graph of a subset, deep enough for all its readings when two blocks are left out."""
    depth = min(len(f.points(subset)) - 1, LID_K + LID_K // 2 + 12)
    return f.once(f"graph of {subset}", lambda: neighbour_graph(f.points(subset), depth))


def _purity(f: Features, subset: str) -> Readings:
    count = f.need(subset)
    graph, labels = _graph(f, subset), f.labels[f.mask(subset)]

    def statistic(masks: Tensor) -> Tensor:
        return torch.stack([purity(masked_graph(graph, mask, K), labels[mask], k=K).mean() for mask in masks])

    bounds = (0.0, 1.0, float(count))
    return {"purity": f.jackknifed(statistic, count, of=subset, blocks=BLOCKS, bounds=bounds, note=f"k = {K}")}


def _uniformity(f: Features, subset: str) -> Readings:
    f.need(subset)
    points = f.points(subset)
    return {"uniformity": f.jackknifed(partial(uniformity_masked, points), len(points), of=subset)}


def _alignment(f: Features, pair: str) -> Readings:
    f.need(pair)
    clean, triggered = f.pairs(pair.split("~")[0])  # on the unit sphere already
    squared = (clean - triggered).square().sum(1)
    return {
        "alignment": Reading(float(squared.mean()), t_interval(squared) if f.intervals else NO_INTERVAL, len(clean))
    }


def _overlap(f: Features, subset: str) -> Readings:
    """Share of the space of class displacements that lies in the space between class means."""
    f.need(subset)

    def measure(mask: Tensor) -> float:
        deltas, means, _ = class_displacements(f.clean[mask], f.triggered[mask], f.labels[mask], f.target)
        return subspace_overlap(deltas, span_of_differences(means))

    return {"subspace_overlap": f.recomputed(measure, len(f.labels), of=subset)}


def _units(f: Features, subset: str) -> Readings:
    f.need(subset)
    f.need("clean_target")
    clean, triggered = f.unscaled
    whole = neuron_overlap(clean, triggered, f.labels, f.target)

    def statistic(masks: Tensor) -> Tensor:
        return neuron_overlap_masked(clean, triggered, f.labels, f.target, masks)

    note = f"Jaccard index {whole.jaccard:.4g} of the {len(whole.trigger_units)} strongest units"
    return {"neuron_overlap": f.jackknifed(statistic, len(f.labels), of=subset, note=note)}


ENTRIES = (
    Entry(
        ("cka",), ("clean_other~triggered", "clean_target~triggered_target"), _cka, nulls={"permuted": _permuted_cka}
    ),
    Entry(
        ("effective_rank",),
        ("clean", "clean_target", "triggered"),
        partial(_read, "effective_rank", effective_rank),
        fixed=("clean", "clean_target"),
    ),
    Entry(("rankme",), ("clean", "triggered"), partial(_read, "rankme", rankme), fixed=("clean",)),
    Entry(
        ("spectrum_decay",), ("clean", "triggered"), partial(_read, "spectrum_decay", spectrum_decay), fixed=("clean",)
    ),
    Entry(("two_nn", "lid"), ("clean", "triggered"), _dimensions, fixed=("clean",)),
    Entry(("uniformity",), ("clean", "triggered"), _uniformity, fixed=("clean",)),
    Entry(("alignment",), ("clean_other~triggered",), _alignment),
    Entry(("fisher_ratio",), ("clean",), _fisher, fixed=("clean",)),
    Entry(("purity",), ("clean",), _purity, fixed=("clean",)),
    Entry(("nc1",), ("clean",), partial(_of_classes, "nc1", nc1), fixed=("clean",)),
    Entry(("nc2",), ("clean",), partial(_of_classes, "nc2", nc2), fixed=("clean",)),
    Entry(("nc3",), ("clean",), _probe_weight, fixed=("clean",)),
    Entry(("subspace_overlap",), ("triggered",), _overlap),
    Entry(("neuron_overlap",), ("triggered",), _units),
)
