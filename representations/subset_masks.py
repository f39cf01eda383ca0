"""The neighbour graph of a subset of the points, from that of all: for the jackknife of neighbour measures."""

import torch
from torch import Tensor

from .errors import InputError
from .graph import NeighbourGraph

__all__ = ["masked_graph"]


def masked_graph(graph: NeighbourGraph, mask: Tensor, k: int) -> NeighbourGraph:
    """Neighbours among the points of a mask, k deep and renumbered; no distance is computed again.

    Args:
        graph: of n points, so deep that every point of the mask has k neighbours in it.
        mask: bool ``(n,)``, the points of the subset.

    Raises:
        InputError: k below 1, or the graph is not deep enough.

    >>> distances = torch.tensor([[1.0, 3.0], [1.0, 2.0], [2.0, 3.0]])
    >>> graph = NeighbourGraph(torch.tensor([[1, 2], [0, 2], [1, 0]]), distances)
    >>> masked_graph(graph, torch.tensor([True, False, True]), 1).indices.tolist()
    [[1], [0]]
    """
    if mask.shape != (len(graph.indices),) or mask.dtype != torch.bool:
        raise InputError(f"mask: expected bool ({len(graph.indices)},), received {mask.dtype} {tuple(mask.shape)}")
    if k < 1:
        raise InputError(f"k: expected at least 1, received {k}")
    neighbours = graph.indices[mask]
    inside = mask[neighbours]
    place = inside.cumsum(1, dtype=torch.int32)
    if len(neighbours) and int(place[:, -1].min()) < k:
        fewest = int(place[:, -1].min())
        raise InputError(f"graph: expected {k} neighbours of every point under the mask, received {fewest}")
    chosen = inside & (place <= k)
    renumbered = mask.cumsum(0) - 1
    return NeighbourGraph(renumbered[neighbours[chosen]].view(-1, k), graph.distances[mask][chosen].view(-1, k))
