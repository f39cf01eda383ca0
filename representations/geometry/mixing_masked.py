"""Neighbour mixing of many subsets of one union, from one neighbour graph: for its jackknife interval."""

import torch
from torch import Tensor

from ..checks import check_masks
from ..errors import InputError
from ..graph import NeighbourGraph
from ..seeds import generator

__all__ = ["mixing_masked"]


def mixing_masked(
    graph: NeighbourGraph, in_b: Tensor, masks: Tensor, *, k: int = 10, draws: int = 5, seed: int = 0
) -> Tensor:
    """:func:`neighbour_mixing` of subsets of the points, without new distances.

    Every subset is balanced by the same random ranks of the points. Subsets that differ in a few points then have
    nearly the same draws.

    Args:
        graph: neighbours of each of the n points of the union, nearest first, so deep that k of them are drawn. Its
            ties stay as they are: if the points are sorted by set, shuffle them before building it.
        in_b: bool ``(n,)``. masks: bool ``(B, n)``, the points of each subset.

    Returns:
        float64 ``(B,)``; NaN where a set has too few points in the mask for k.

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
    values = torch.full((len(masks),), float("nan"), dtype=torch.float64)
    for row, mask in enumerate(masks):
        sizes = int((mask & in_b).sum()), int((mask & ~in_b).sum())
        n = min(sizes)
        if k >= 2 * n - 1:
            continue
        total = 0.0
        for rank in ranks if sizes[0] != sizes[1] else ranks[:1]:
            chosen = _lowest(rank, mask & in_b, n) | _lowest(rank, mask & ~in_b, n)
            neighbours = order[chosen]
            drawn = chosen[neighbours]
            place = drawn.cumsum(1, dtype=torch.int16 if order.shape[1] < 30_000 else torch.int32)
            if int(place[:, -1].min()) < k:
                raise InputError(
                    f"graph: expected at least {k} drawn neighbours of every point, received {int(place[:, -1].min())} "
                    f"among {order.shape[1]}: it is not deep enough"
                )
            foreign = drawn & (place <= k) & (in_b[neighbours] != in_b[chosen].unsqueeze(1))
            total += float(foreign.sum()) / (2 * n * k) / (len(ranks) if sizes[0] != sizes[1] else 1)
        values[row] = total * (2 * n - 1) / n
    return values


def _lowest(rank: Tensor, among: Tensor, count: int) -> Tensor:
    """The ``count`` points of a set with the lowest ranks, as a mask."""
    ranks = torch.where(among, rank, len(rank))
    return ranks < ranks.sort().values[count - 1] + 1 if count < int(among.sum()) else among
