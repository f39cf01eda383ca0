"""The graph of some of the points, from that of all: what a jackknife of neighbour measures needs."""

import torch
from torch import Tensor

from .errors import InputError
from .graph import NeighbourGraph

__all__ = ["kept_graph"]


def kept_graph(graph: NeighbourGraph, keep: Tensor, k: int) -> NeighbourGraph:
    """Neighbours among the kept points, k deep, renumbered; no distance is computed again.

    Args:
        graph: of n points, deep enough that k of the neighbours of every kept point are kept.
        keep: bool ``(n,)``.

    Raises:
        InputError: k below 1, or the graph is not deep enough.

    >>> distances = torch.tensor([[1.0, 3.0], [1.0, 2.0], [2.0, 3.0]])
    >>> graph = NeighbourGraph(torch.tensor([[1, 2], [0, 2], [1, 0]]), distances)
    >>> kept_graph(graph, torch.tensor([True, False, True]), 1).indices.tolist()
    [[1], [0]]
    """
    if keep.shape != (len(graph.indices),) or keep.dtype != torch.bool:
        raise InputError(f"keep: expected bool ({len(graph.indices)},), received {keep.dtype} {tuple(keep.shape)}")
    if k < 1:
        raise InputError(f"k: expected at least 1, received {k}")
    neighbours = graph.indices[keep]
    inside = keep[neighbours]
    place = inside.cumsum(1, dtype=torch.int32)
    if len(neighbours) and int(place[:, -1].min()) < k:
        raise InputError(f"graph: expected {k} kept neighbours of every point, received {int(place[:, -1].min())}")
    chosen = inside & (place <= k)
    renumbered = keep.cumsum(0) - 1
    return NeighbourGraph(renumbered[neighbours[chosen]].view(-1, k), graph.distances[keep][chosen].view(-1, k))
