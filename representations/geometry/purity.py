"""Purity: are neighbours of one class?"""

from torch import Tensor

from ..checks import check_labels
from ..errors import InputError
from ..graph import NeighbourGraph

__all__ = ["purity"]


def purity(graph: NeighbourGraph, labels: Tensor, *, k: int = 10) -> Tensor:
    """Share of a point's k nearest neighbours that are of its own class, a score for each point.

    Their mean is the purity, in [0, 1]: 1 where classes form clusters of more than k points. Random labels give
    Σ_c n_c(n_c − 1)/(n(n − 1)), the share of pairs of one class.

    Args:
        graph: of the n points, at least k deep. labels: int64 ``(n,)``.

    Returns:
        float64 ``(n,)``. Cost O(nk).

    >>> import torch
    >>> from intertwine.representations.graph import neighbour_graph
    >>> graph = neighbour_graph(torch.tensor([[0.0], [1.0], [8.0], [9.0]]), 1)
    >>> purity(graph, torch.tensor([0, 0, 1, 0]), k=1).tolist()
    [1.0, 1.0, 0.0, 0.0]
    """
    neighbours = graph.indices
    if not 1 <= k <= neighbours.shape[1]:
        raise InputError(f"k: expected 1 to {neighbours.shape[1]} (the graph's depth), received {k}")
    check_labels(labels, len(neighbours), classes=1)
    return (labels[neighbours[:, :k]] == labels.unsqueeze(1)).double().mean(1)
