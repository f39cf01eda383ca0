"""Local density of points: k-distance, simplified local outlier factor, and its dimension-aware version.

All three are scores of outliers: higher where a point lies in a sparser neighbourhood. Poisons can differ from other
images either way. Dirty-label poisons form a dense group of their own. Those of CLIP lie in sparser neighbourhoods,
where k-distance, SLOF and DAO find them (Huang et al., "Detecting Backdoor Samples in Contrastive Language Image
Pretraining", ICLR 2025, arXiv 2502.01385). Compare scores two-sided: an AUC below a half means denser.
"""

import torch
from torch import Tensor

from ..auc import auc
from ..errors import InputError
from ..graph import NeighbourGraph
from .dimension import inverse_lid

__all__ = ["dao", "kdist", "slof", "sparser_auc"]


def kdist(graph: NeighbourGraph, *, k: int = 20) -> Tensor:
    """Distance of each point to its k-th nearest neighbour (Ramaswamy, Rastogi and Shim, SIGMOD 2000).

    Args:
        graph: of the n points, at least k deep.

    Returns:
        float64 ``(n,)``, in the units of the features. Invariant to rotation and shift. Cost O(n).
    """
    if not 1 <= k <= graph.distances.shape[1]:
        raise InputError(f"k: expected 1 to {graph.distances.shape[1]} (the graph's depth), received {k}")
    return graph.distances[:, k - 1]


def slof(graph: NeighbourGraph, *, k: int = 20) -> Tensor:
    """Simplified local outlier factor: mean over the k neighbours o of kdist(x)/kdist(o).

    LOF without reachability distances (Schubert, Zimek and Kriegel, Data Min. Knowl. Discov. 28, 2014). About 1 inside
    a set of any constant density, more where a point's neighbourhood is sparser than that of its neighbours.

    Returns:
        float64 ``(n,)`` in [0, ∞]; infinite where a neighbour coincides with k others and the point does not. 0/0
        counts 1. Invariant to rotation, scale and shift. Cost O(nk).
    """
    return _ratios(graph, k).mean(1)


def dao(graph: NeighbourGraph, *, k: int = 20) -> Tensor:
    """Dimensionality-aware outlier score: mean over the k neighbours o of (kdist(x)/kdist(o))^LID(o).

    Anderberg et al., SDM 2024 (arXiv 2401.05453). A ratio of distances is a ratio of densities to the power
    1/dimension: the exponent undoes this with the local intrinsic dimension at the neighbour. That is the
    maximum-likelihood estimate over its k neighbours (:func:`.inverse_lid`); they compare several estimators. A
    neighbour without an estimate has the exponent 1, as in :func:`slof`.

    Args:
        graph: of the n points, at least k deep, k ≥ 3.

    Returns:
        float64 ``(n,)`` in [0, ∞]. Invariant to rotation, scale and shift. Cost O(nk).
    """
    ratios, inverse = _ratios(graph, k), inverse_lid(graph, k=k)
    dimension = torch.where(inverse > 0, 1 / inverse, 1.0)
    return ratios.pow(dimension[graph.indices[:, :k]]).mean(1)


def sparser_auc(scores: Tensor, first: Tensor) -> float:
    """Chance that a score of the first set exceeds one of the second: a half where both are equally dense.

    Scores are compared in float32. Two points that are each other's k-th neighbours have one k-distance, up to
    rounding.

    Args:
        scores: of the points of both sets, ``(n,)``. first: bool ``(n,)``.

    Returns:
        A value in [0, 1]: below a half where the first set is denser, above where it is sparser.
    """
    scores = scores.float()
    return auc(scores[first], scores[~first])


def _ratios(graph: NeighbourGraph, k: int) -> Tensor:
    own = kdist(graph, k=k)
    of_neighbours = own[graph.indices[:, :k]]
    ratios = own.unsqueeze(1) / of_neighbours
    return torch.where((own.unsqueeze(1) == 0) & (of_neighbours == 0), 1.0, ratios)
