"""Neighbour mixing of many subsets of one union, side by side, from one neighbour graph."""

from collections.abc import Callable
from dataclasses import dataclass

import torch
from torch import Tensor

from ..checks import check_masks, check_pair
from ..errors import InputError
from ..graph import NeighbourGraph, neighbour_graph
from ..seeds import generator
from .mixing import balanced, neighbours_of

__all__ = ["MixingSides", "mixing_masked", "mixing_of_union", "smaller_side_mixing"]


@dataclass(frozen=True)
class MixingSides:
    """Mixing of the two sets of a union, for each of B subsets, float64 ``(B,)``.

    a, b: foreign share of the neighbours of each set's points, scaled to 1 on average where both sets are one. noise:
    variance of a − b over random divisions of the same points in two sets.
    """

    a: Tensor
    b: Tensor
    noise: Tensor

    @property
    def mean(self) -> Tensor:
        """The mean of both sides: what :func:`.neighbour_mixing` gives."""
        return (self.a + self.b) / 2

    @property
    def smaller(self) -> Tensor:
        """The smaller side, corrected for chance: mean − ½|a − b|·(1 − exp(−(a − b)²/4s²)), s² the noise.

        The smaller of two equal, noisy sides is too low on average: by .08 at n = 50, d = 24. Here a difference counts
        where it exceeds what a random division gives. This leaves a bias of −.03, and −.01 at n = 200. A real
        difference of 3s is shortened by a tenth, and one of 5s by .002 of it.
        """
        apart = (self.a - self.b).abs()
        real = torch.where(self.noise > 0, -torch.expm1(-apart.square() / (4 * self.noise)), (apart > 0).double())
        return self.mean - apart * real / 2


def smaller_side_mixing(a: Tensor, b: Tensor, *, k: int | None = None, draws: int = 5, seed: int = 0) -> float:
    """Neighbour mixing of the set whose points have fewer foreign neighbours (see :class:`MixingSides`).

    The mean of both sides is fooled by hubs. A compact set is next to everyone in a wide one and has no foreign
    neighbours itself: sides 0 and 2, mean 1, although the sets can be separated without error. The smaller side is 0
    there. 1: one distribution.

    Args:
        a: ``(n_a, d)``. b: ``(n_b, d)``. k: neighbours, fewer than 2n − 1; by default
            :func:`.neighbours_of` n, the size of the smaller set. draws: balanced subsets.

    Returns:
        A value in [0, (2n − 1)/n]. Invariant to rotation, scale and shift.

    >>> g = torch.Generator().manual_seed(0)
    >>> wide, compact = torch.randn(50, 99, generator=g), 0.1 * torch.randn(50, 99, generator=g) + torch.eye(99)[0]
    >>> sides = mixing_of_union(torch.cat([wide, compact]), torch.arange(100) >= 50)(torch.ones(1, 100).bool())
    >>> round(float(sides.mean), 1), round(smaller_side_mixing(wide, compact), 1)
    (1.0, 0.0)
    """
    a, b = check_pair(a, b)
    _, k = balanced(len(a), len(b), k)
    in_b = torch.arange(len(a) + len(b)) >= len(a)
    sides = mixing_of_union(torch.cat([a, b]), in_b, k=k, draws=draws, seed=seed)
    return float(sides(torch.ones(1, len(in_b), dtype=torch.bool)).smaller)


def mixing_of_union(
    points: Tensor,
    in_b: Tensor,
    *,
    k: int | None = None,
    draws: int = 5,
    seed: int = 0,
    graphs: dict[int, NeighbourGraph] | None = None,
) -> Callable[[Tensor], MixingSides]:
    """:func:`mixing_masked` of a union as a function of masks, which builds the graph that it needs.

    The depth that is needed depends on the data. Where the larger set forms a cluster of its own, nearly all neighbours
    of its points lie in it, and few of them are drawn. A graph that is too shallow is built again, deeper. The graph
    breaks ties by the order of its points, so that the points are shuffled first.

    Args:
        points: ``(m, d)``. in_b: bool ``(m,)``. k: by default :func:`.neighbours_of` the size of the smaller set.
        graphs: graphs of these points by depth, from an earlier call with the same seed. Those built here are added.
    """
    order = torch.randperm(len(in_b), generator=generator(seed, "mixing"))
    every, sizes = len(in_b) - 1, (int(in_b.sum()), int((~in_b).sum()))
    if min(sizes) == 0:
        raise InputError(f"in_b: expected points of both sets, received {sizes[1]} and {sizes[0]}")
    k = neighbours_of(min(sizes)) if k is None else k
    depth = min(every, int((k + 4 * k**0.5 + 4) * max(sizes) / min(sizes)) + 1)
    built = {} if graphs is None else graphs

    def sides(masks: Tensor) -> MixingSides:
        nonlocal depth
        while True:
            if depth not in built:
                built[depth] = neighbour_graph(points[order], depth)
            try:
                return mixing_masked(built[depth], in_b[order], masks[:, order], k=k, draws=draws, seed=seed)
            except InputError:
                if depth == every:
                    raise
                depth = min(every, 3 * depth)

    return sides


def mixing_masked(
    graph: NeighbourGraph, in_b: Tensor, masks: Tensor, *, k: int = 10, draws: int = 5, seed: int = 0
) -> MixingSides:
    """:func:`neighbour_mixing` of subsets of the points, side by side, without new distances.

    Every subset is balanced by the same random ranks of the points. Subsets that differ in a few points then have
    nearly the same draws.

    The difference of the sides depends on how often points are neighbours only: a − b is proportional to the sum of
    k − r_i over the points i of a, r_i the number of points that have i as a neighbour. Its variance over random
    divisions of the 2n points is n/2 times that of r (sampling without replacement).

    Args:
        graph: neighbours of each of the n points of the union, nearest first, so deep that k of them are drawn. Its
            ties stay as they are: if the points are sorted by set, shuffle them before building it.
        in_b: bool ``(n,)``. masks: bool ``(B, n)``, the points of each subset.

    Returns:
        Sides ``(B,)``; NaN where a set has too few points in the mask for k.

    Raises:
        InputError: the graph is not deep enough.
    """
    order, m = graph.indices, len(graph.indices)
    if in_b.shape != (m,) or in_b.dtype != torch.bool:
        raise InputError(f"in_b: expected bool ({m},), received {in_b.dtype} {tuple(in_b.shape)}")
    check_masks(masks, m)
    for name, count in (("k", k), ("draws", draws)):
        if count < 1:
            raise InputError(f"{name}: expected at least 1, received {count}")
    stream = generator(seed, "mixing-of-kept")
    ranks = [torch.rand(len(in_b), generator=stream).argsort().argsort() for _ in range(draws)]
    values = torch.full((3, len(masks)), float("nan"), dtype=torch.float64)
    for row, mask in enumerate(masks):
        sizes = int((mask & in_b).sum()), int((mask & ~in_b).sum())
        n = min(sizes)
        if k >= 2 * n - 1:
            continue
        used = ranks if sizes[0] != sizes[1] else ranks[:1]
        totals = torch.zeros(3, dtype=torch.float64)
        for rank in used:
            chosen = _lowest(rank, mask & in_b, n) | _lowest(rank, mask & ~in_b, n)
            totals += _counts(order, in_b, chosen, k)
        a, b, noise = (totals / len(used)).tolist()
        scale = (2 * n - 1) / (n * n * k)
        values[:, row] = torch.tensor([a * scale, b * scale, noise * n / 2 * scale**2], dtype=torch.float64)
    return MixingSides(*values)


def _counts(order: Tensor, in_b: Tensor, chosen: Tensor, k: int) -> Tensor:
    """Foreign neighbours of each set's chosen points, and the variance of how often a chosen point is a neighbour."""
    neighbours = order[chosen]
    drawn = chosen[neighbours]
    place = drawn.cumsum(1, dtype=torch.int16 if order.shape[1] < 30_000 else torch.int32)
    fewest = int(place[:, -1].min())
    if fewest < k:
        raise InputError(
            f"graph: expected at least {k} drawn neighbours of every point, received {fewest} "
            f"among {order.shape[1]}: it is not deep enough"
        )
    near = drawn & (place <= k)
    own = in_b[chosen]
    foreign = (near & (in_b[neighbours] != own.unsqueeze(1))).sum(1)
    often = torch.bincount(neighbours[near], minlength=len(chosen))[chosen].double()
    return torch.stack([foreign[~own].sum().double(), foreign[own].sum().double(), often.var()])


def _lowest(rank: Tensor, among: Tensor, count: int) -> Tensor:
    """The ``count`` points of a set with the lowest ranks, as a mask."""
    ranks = torch.where(among, rank, len(rank))
    return ranks < ranks.sort().values[count - 1] + 1 if count < int(among.sum()) else among
