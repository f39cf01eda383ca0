"""Intrinsic dimension from the distances to the nearest neighbours."""

from dataclasses import dataclass

import torch
from torch import Tensor

from ..errors import InputError
from ..graph import NeighbourGraph

__all__ = ["TwoNN", "inverse_lid", "two_nn"]


@dataclass(frozen=True)
class TwoNN:
    """``value``: the dimension. ``used``: the number of points in the estimate. ``duplicates``: the number of points
    left out because they coincide with their nearest neighbour."""

    value: float
    used: int
    duplicates: int

    def __float__(self) -> float:
        return self.value


def two_nn(graph: NeighbourGraph) -> TwoNN:
    """Intrinsic dimension from the ratio of the distances to the second and the first neighbour.

    Where the density of points is constant over two neighbours, μ = r₂/r₁ has the density d·μ^(−d−1) (Facco et al.,
    Sci. Rep. 7, 2017). The maximum-likelihood estimate is N/Σ log μ; with N − 1, as here, it is unbiased. (Facco et al.
    fit a line and leave out the largest tenth of the μ.) A point that coincides with its neighbour has no μ. It is left
    out and counted.

    Args:
        graph: at least two neighbours deep.

    Returns:
        Positive; NaN where fewer than 3 points are left, or all of them have μ = 1. Invariant to rotation, scale and
        shift. Cost O(n).

    >>> from intertwine.representations.graph import neighbour_graph
    >>> plane = torch.rand(500, 2, generator=torch.Generator().manual_seed(0)) @ torch.ones(2, 9).tril()
    >>> round(float(two_nn(neighbour_graph(plane, 2))))
    2
    """
    first, second = _distances(graph, 2)[:, :2].T
    apart = first > 0
    used = int(apart.sum())
    logs = (second[apart] / first[apart]).log().sum()
    value = float((used - 1) / logs) if used >= 3 and logs > 0 else float("nan")
    return TwoNN(value, used, len(first) - used)


def inverse_lid(graph: NeighbourGraph, *, k: int = 20) -> Tensor:
    """1/LID of each point: the inverse of its local intrinsic dimension, from its k nearest neighbours.

    m_i = Σ_{j<k} log(r_k/r_j)/(k − 1), whose expectation is 1/d where the density of points is constant over k
    neighbours (maximum likelihood: Levina and Bickel, NeurIPS 2004). The dimension of a set is 1/mean(m). Inverses are
    averaged (MacKay and Ghahramani, a comment on that paper, 2005): a few points would decide the mean of the
    dimensions. Neighbours at distance 0 are left out of a point's sum, and k is reduced by their number.

    Args:
        graph: at least k deep, k ≥ 3.

    Returns:
        float64 ``(n,)``, NaN for points with fewer than 3 neighbours at a positive distance; 0 where all neighbours are
        equally far. Invariant to rotation, scale and shift. Cost O(nk).

    >>> from intertwine.representations.graph import neighbour_graph
    >>> plane = torch.rand(500, 2, generator=torch.Generator().manual_seed(0)) @ torch.ones(2, 9).tril()
    >>> round(1 / float(inverse_lid(neighbour_graph(plane, 20)).mean()))
    2
    """
    if k < 3:
        raise InputError(f"k: expected at least 3, received {k}")
    r = _distances(graph, k)[:, :k]
    apart = r > 0
    count = apart.sum(1)
    logs = torch.where(apart, (r[:, -1:] / r).log(), 0).sum(1)
    return torch.where(count >= 3, logs / (count - 1), float("nan"))


def _distances(graph: NeighbourGraph, depth: int) -> Tensor:
    if graph.distances.shape[1] < depth:
        raise InputError(f"graph: expected at least {depth} neighbours, received {graph.distances.shape[1]}")
    return graph.distances
