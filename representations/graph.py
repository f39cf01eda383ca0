"""Exact distances and exact nearest neighbours, which all neighbour measures share.

A graph is built once. For many points: candidates by float32 products, ranked by float64 distances, with a bound on the
error of the products that proves for each point that no neighbour is missing; where it does not, and for few points, by
all float64 distances.
"""

from dataclasses import dataclass

import torch
from torch import Tensor
from torch.nn.functional import normalize

from .checks import check_features
from .errors import InputError

__all__ = ["NeighbourGraph", "neighbour_graph", "pairwise_distances"]

MARGIN = 8  # candidates beyond k: more make a second look rarer, and the ranking dearer
BLOCK = 32 * 2**20  # numbers in one block of distances
SMALL, BLOCK_ROWS = 4096, 2500


@dataclass(frozen=True)
class NeighbourGraph:
    """Row i holds the nearest neighbours of point i, nearest first: ``indices`` int64 ``(n, k)`` and their Euclidean
    ``distances`` float64 ``(n, k)``, exactly 0 for points that coincide."""

    indices: Tensor
    distances: Tensor


def pairwise_distances(x: Tensor, y: Tensor | None = None) -> Tensor:
    """Euclidean distances ``(n, m)``, float64, between the rows of x and of y (of x itself by default).

    By the Gram matrix of the centred points; where that leaves fewer than five digits, points all but coincide, and
    the distance is taken from their difference: it is exactly 0 for equal rows. Cost O(nmd).

    >>> pairwise_distances(torch.tensor([[0.0, 0.0], [3.0, 4.0]])).tolist()
    [[0.0, 5.0], [5.0, 0.0]]
    """
    x = check_features(x, rows=1)
    y = x if y is None else check_features(y, rows=1, name="y")
    if x.shape[1] != y.shape[1]:
        raise InputError(f"x, y: expected (n, d) and (m, d), received {tuple(x.shape)} and {tuple(y.shape)}")
    centre = x.mean(0)
    scale = torch.maximum((x - centre).abs().max(), (y - centre).abs().max())
    if not scale > 0:
        return x.new_zeros(len(x), len(y))
    a, b = (x - centre) / scale, (y - centre) / scale  # squares of very small or large numbers would not fit
    size = a.square().sum(1).unsqueeze(1) + b.square().sum(1)
    squared = torch.addmm(size, a, b.T, alpha=-2)
    row, column = (squared <= 1e-10 * size).nonzero(as_tuple=True)
    for part in torch.arange(len(row)).split(max(1, BLOCK // x.shape[1])):
        i, j = row[part], column[part]
        squared[i, j] = ((x[i] - y[j]) / scale).square().sum(1)
    return squared.sqrt_().mul_(scale)


def neighbour_graph(x: Tensor, k: int, *, metric: str = "euclidean") -> NeighbourGraph:
    """The k nearest other points of each point, exact.

    A point is left out of its own neighbours by its index, not as the nearest one: a duplicate of it is a neighbour at
    distance 0. Equal distances are in the order of the indices; permute the points first to break ties at random.

    Args:
        x: ``(n, d)``. k: 1 to n − 1. metric: ``"euclidean"``, or ``"cosine"``: Euclidean between rows of length 1, which
            ranks as the cosine does.

    Returns:
        A graph. Cost O(n²d), memory O(nk) and one block of distances.

    >>> neighbour_graph(torch.tensor([[0.0], [1.0], [1.0], [5.0]]), 2).indices.tolist()
    [[1, 2], [2, 0], [1, 0], [1, 2]]
    """
    x = check_features(x)
    n = len(x)
    if not 1 <= k < n:
        raise InputError(f"k: expected 1 to {n - 1} neighbours of {n} points, received {k}")
    if metric not in ("euclidean", "cosine"):
        raise InputError(f"metric: expected 'euclidean' or 'cosine', received {metric!r}")
    if metric == "cosine":
        x = normalize(x, dim=1)
    centred = x - x.mean(0)
    scale = centred.abs().max()
    if scale > 0:
        centred = centred / scale
    if n <= SMALL or k + MARGIN >= BLOCK_ROWS:
        indices, distances = _by_all_distances(centred, torch.arange(n), k)
    else:
        indices, distances = _by_candidates(centred, k)
    return NeighbourGraph(indices, distances * scale)


def _by_all_distances(x: Tensor, rows: Tensor, k: int) -> tuple[Tensor, Tensor]:
    """Neighbours of some rows from all of their float64 distances."""
    n = len(x)
    indices, distances = torch.empty(len(rows), k, dtype=torch.int64), torch.empty(len(rows), k, dtype=x.dtype)
    for part in torch.arange(len(rows)).split(max(1, BLOCK // n)):
        all_distances = pairwise_distances(x[rows[part]], x)
        all_distances[torch.arange(len(part)), rows[part]] = torch.inf
        values, candidates = all_distances.topk(min(k + MARGIN, n), dim=1, largest=False)
        indices[part], distances[part] = _ordered(values, candidates, k)
        # topk picks among equals as it likes: where the tie goes on past the margin, all of the row is sorted.
        tied = part[(values[:, k - 1] == values[:, -1]) & (values[:, -1] < torch.inf)]
        for i in tied.tolist():
            row, order = all_distances[i - int(part[0])].sort(stable=True)
            indices[i], distances[i] = order[:k], row[:k]
    return indices, distances


def _by_candidates(x: Tensor, k: int) -> tuple[Tensor, Tensor]:
    """Neighbours of all rows: candidates by float32 products, each product used for both of its points; exact distances
    for the candidates alone."""
    n, d = x.shape
    single = x.float()
    squares = single.square().sum(1)
    best = torch.full((n, k + MARGIN), torch.inf)
    candidates = torch.zeros(n, k + MARGIN, dtype=torch.int64)
    blocks = torch.arange(n).split(BLOCK_ROWS)
    for a, rows in enumerate(blocks):
        for columns in blocks[a:]:
            products = single[rows] @ single[columns].T
            # ‖x_j‖² − 2 x_i·x_j ranks as the distance from i does.
            score = torch.add(squares[columns], products, alpha=-2)
            if columns is rows:
                score.fill_diagonal_(torch.inf)
            _merge(best, candidates, rows, score, int(columns[0]))
            if columns is not rows:
                score = torch.add(squares[rows].unsqueeze(1), products, alpha=-2).T.contiguous()
                _merge(best, candidates, columns, score, int(rows[0]))
    indices, distances = torch.empty(n, k, dtype=torch.int64), torch.empty(n, k, dtype=x.dtype)
    lengths = x.square().sum(1)
    for part in torch.arange(n).split(max(1, BLOCK // (candidates.shape[1] * d))):
        near = candidates[part]
        there = x[near]
        size = lengths[part].unsqueeze(1) + lengths[near]
        squared = size - 2 * torch.bmm(there, x[part].unsqueeze(2)).squeeze(2)
        row, column = (squared <= 1e-10 * size).nonzero(as_tuple=True)
        squared[row, column] = (there[row, column] - x[part[row]]).square().sum(1)
        indices[part], distances[part] = _ordered(squared.sqrt(), near, k)
    # Rounding to float32 and a product of d terms: each score is off by at most 2(d + 4)·2⁻²⁴·(‖x_i‖ + ‖x_j‖)·‖x_j‖, and
    # no ‖x_j‖ is larger than the largest. A point that is no candidate scores at least as the last candidate does.
    largest = lengths.max().sqrt()
    bound = 2 * (d + 4) * 2.0**-24 * (lengths.sqrt() + largest) * largest
    doubtful = (distances[:, -1].square() - lengths >= best.amax(1).double() - bound).nonzero().flatten()
    if len(doubtful):
        indices[doubtful], distances[doubtful] = _by_all_distances(x, doubtful, k)
    return indices, distances


def _merge(best: Tensor, candidates: Tensor, rows: Tensor, score: Tensor, offset: int) -> None:
    """Keep the best of the candidates so far and those of a block of scores whose first column is point ``offset``."""
    count = best.shape[1]
    values, places = score.topk(min(count, score.shape[1]), dim=1, largest=False, sorted=False)
    values, places = torch.cat([best[rows], values], dim=1), torch.cat([candidates[rows], places + offset], dim=1)
    best[rows], order = values.topk(count, dim=1, largest=False, sorted=False)
    candidates[rows] = places.gather(1, order)


def _ordered(distances: Tensor, candidates: Tensor, k: int) -> tuple[Tensor, Tensor]:
    """The k nearest candidates of each row, by distance and then by index."""
    candidates, order = candidates.sort(dim=1)
    values, by_distance = distances.gather(1, order).sort(dim=1, stable=True)
    return candidates.gather(1, by_distance[:, :k]), values[:, :k]
