"""Family E: spread and local density of a subset beside another's. It is no evidence of entanglement."""

from collections.abc import Callable
from functools import partial

import torch
from torch import Tensor

from ....representations.geometry import content_retention_masked, dao, kdist, slof, sparser_auc
from ....representations.graph import neighbour_graph
from ....representations.seeds import generator
from ....representations.subset_masks import masked_graph
from .reading import Entry, Features, Readings, Union
from .two_sets import union

__all__ = ["ENTRIES"]

K = 20
BLOCKS = 12
SCORES: dict[str, Callable[..., Tensor]] = {"density_kdist": kdist, "density_slof": slof, "density_dao": dao}


def _retention(f: Features, subset: str) -> Readings:
    f.need(subset)
    clean, triggered = f.pairs(subset)
    statistic = partial(content_retention_masked, clean, triggered)
    return {"content_retention": f.jackknifed(statistic, len(clean), of=subset)}


def _density(f: Features, subset: str) -> Readings:
    """AUC with which a score of the subset exceeds that of the other set: a half where both are equally dense.

    Scores are computed inside the union of both. The larger set is subsampled once: it would be denser by its size.
    """
    balanced = _balanced(union(f, subset), f.seed)
    first, n = balanced.in_triggered, int(balanced.in_triggered.sum())
    k = min(K, n - 1)
    # Deep enough that k neighbours are left without one block of the jackknife.
    graph = neighbour_graph(balanced.points, min(2 * n - 1, 2 * k + 12))

    def statistic(score: Callable[..., Tensor], masks: Tensor) -> Tensor:
        graphs = [masked_graph(graph, mask, k) for mask in masks]
        aucs = [sparser_auc(score(g, k=k), first[mask]) for g, mask in zip(graphs, masks, strict=True)]
        return torch.tensor(aucs, dtype=torch.float64)

    return {
        name: f.jackknifed(
            partial(statistic, score),
            2 * n,
            of=subset,
            blocks=BLOCKS,
            curvature=False,
            bounds=(0.0, 1.0, float(n)),
            note=f"k = {k}; {n} of each set",
        )
        for name, score in SCORES.items()
    }


def _balanced(both: Union, seed: int) -> Union:
    n = min(int(both.in_triggered.sum()), int((~both.in_triggered).sum()))
    parts = []
    for i, side in enumerate((both.in_triggered, ~both.in_triggered)):
        members = both.points[side]
        parts.append(members[torch.randperm(len(members), generator=generator(seed, "density", i))[:n]])
    return Union.pair(*parts)


ENTRIES = (
    Entry(("content_retention",), ("triggered", "hits"), _retention),
    Entry(tuple(SCORES), ("hits", "poisons"), _density, standard="output", fixed=("poisons",)),
)
