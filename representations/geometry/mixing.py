"""Neighbour mixing: do two sets of points share a neighbourhood?"""

import math
from dataclasses import dataclass

import torch
from torch import Tensor

from ..checks import check_pair
from ..errors import InputError
from ..graph import NeighbourGraph, neighbour_graph
from ..seeds import generator

__all__ = ["Mixing", "neighbour_mixing", "neighbours_of"]


@dataclass(frozen=True)
class Mixing:
    """``value``, and the scores of the two sets that it averages.

    A score is one point's share of foreign neighbours, scaled like the value; NaN where the point was in no draw. For
    an interval, resample the scores and never the points.
    """

    value: float
    scores_a: Tensor
    scores_b: Tensor

    def __float__(self) -> float:
        return self.value


def neighbours_of(n: int) -> int:
    """The k of mixing for sets of n points each: n/20, at least 1.

    A share keeps the scale that mixing looks at, so that few and many images give the same value. With a fixed k = 10,
    hits of one CIFAR-10 encoder had .46 from 20 images a set and .22 from 200; with n/20 they have .29 and .22.

    >>> neighbours_of(200), neighbours_of(59), neighbours_of(12)
    (10, 3, 1)
    """
    return max(1, round(n / 20))


def balanced(n_a: int, n_b: int, k: int | None) -> tuple[int, int]:
    """Size of the smaller set and the neighbours asked for, or those of its size.

    Raises:
        InputError: the smaller set has too few points for k.
    """
    n = min(n_a, n_b)
    k = neighbours_of(n) if k is None else k
    if not 1 <= k < 2 * n - 1:
        raise InputError(f"k: expected 1 to {2 * n - 2} neighbours for sets of {n_a} and {n_b} points, received {k}")
    return n, k


def neighbour_mixing(a: Tensor, b: Tensor, *, k: int | None = None, draws: int = 10, seed: int = 0) -> Mixing:
    r"""Share of foreign points among the k nearest neighbours in the balanced union of two sets.

    n points are drawn from each set. The value is the mean over the 2n points of (foreign among k nearest)/k, times
    (2n−1)/n, the inverse of the share expected if both sets are one: 1 when fully intertwined, 0 apart, at most
    (2n−1)/n < 2. The larger set is subsampled ``draws`` times without replacement, and the scores are averaged.
    Distances are Euclidean. Ties are broken at random: duplicates are neither preferred nor avoided.

    Args:
        a: ``(n_a, d)``. b: ``(n_b, d)``. k: neighbours, fewer than 2n − 1; by default :func:`neighbours_of` n, the
            size of the smaller set.

    Returns:
        The value and each point's score. The cost is that of one neighbour graph of the union, or of one a draw if
        that is less.

    Raises:
        InputError: the smaller set has too few points for k.

    >>> g = torch.Generator().manual_seed(0)
    >>> float(neighbour_mixing(torch.randn(40, 3, generator=g), torch.randn(60, 3, generator=g) + 9))
    0.0
    """
    a, b = check_pair(a, b)
    n, k = balanced(len(a), len(b), k)
    if draws < 1:
        raise InputError(f"draws: expected at least 1, received {draws}")
    stream = generator(seed, "neighbour-mixing")
    # Among equally near points the graph prefers the earlier: a random order breaks ties at random.
    shuffled = torch.randperm(len(a) + len(b), generator=stream)
    points, in_b = torch.cat([a, b])[shuffled], shuffled >= len(a)
    if len(a) == len(b):
        draws = 1
    graph = _graph_of_union(points, k, n, draws)
    total, count = torch.zeros(len(points), dtype=torch.float64), torch.zeros(len(points), dtype=torch.float64)
    for _ in range(draws):
        chosen = torch.zeros(len(points), dtype=torch.bool)
        for side in (in_b, ~in_b):
            members = side.nonzero().flatten()
            chosen[members[torch.randperm(len(members), generator=stream)[:n]]] = True
        rows = chosen.nonzero().flatten()
        total[rows] += _foreign(points, in_b, chosen, k, graph)
        count[rows] += k
    scores = torch.empty_like(total)
    scores[shuffled] = total / count * (2 * n - 1) / n  # 0/0 = NaN: never drawn
    # Both sets have the same weight, as in the balanced union.
    scores_a, scores_b = scores[: len(a)], scores[len(a) :]
    return Mixing(float((scores_a.nanmean() + scores_b.nanmean()) / 2), scores_a, scores_b)


def _graph_of_union(points: Tensor, k: int, n: int, draws: int) -> NeighbourGraph | None:
    """One graph for all draws, where that is less work than a graph of each draw's 2n points."""
    if draws * (2 * n) ** 2 < len(points) ** 2:
        return None
    # At least this share of a point's neighbours is drawn, so that few points find less than k of them.
    share = n / (len(points) - n)
    return neighbour_graph(points, min(len(points) - 1, math.ceil((k + 3 * (k * (1 - share)) ** 0.5) / share)))


def _foreign(points: Tensor, in_b: Tensor, chosen: Tensor, k: int, graph: NeighbourGraph | None) -> Tensor:
    """How many of the k nearest chosen points of each chosen point are of the other set."""
    rows = chosen.nonzero().flatten()
    counts, missing = torch.zeros(len(rows), dtype=torch.float64), torch.ones(len(rows), dtype=torch.bool)
    if graph is not None:
        neighbours = graph.indices[rows]
        drawn = chosen[neighbours]
        place = drawn.cumsum(1)
        foreign = in_b[neighbours] != in_b[rows].unsqueeze(1)
        counts, missing = (foreign & drawn & (place <= k)).sum(1).double(), place[:, -1] < k
    if missing.any():
        # Where the graph is not deep enough, search among the chosen points.
        own = missing.nonzero().flatten()
        nearest = neighbour_graph(points[rows[own]], k, bank=points[rows], own=own).indices
        counts[own] = (in_b[rows[nearest]] != in_b[rows[own]].unsqueeze(1)).sum(1).double()
    return counts
