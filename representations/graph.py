"""Exact distances and exact nearest neighbours, which all neighbour measures share.

A graph is built once. Candidates come from matrix products, in float32 where points are many. Neighbours are decided by
the float64 distances of the candidates. For each point a bound on the rounding of the products proves that no neighbour
is missing. Where the bound proves nothing, all points that might be neighbours are compared by their differences.
"""

import math
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from .checks import check_features
from .errors import InputError

__all__ = ["NeighbourGraph", "neighbour_graph", "pairwise_distances"]

MARGIN = 8  # candidates beyond k: more make second searches rarer and the ranking slower
BLOCK = 2**24  # numbers in one block of products or of gathered features
GROUP = 16  # columns in a group, of which only the smallest is compared first
SMALL = 4096  # with fewer points float64 products are fast enough
NEAR = 1e-5  # below this squared distance over squared lengths, products have too few digits
BY_DIFFERENCES = "donot_use_mm_for_euclid_dist"


@dataclass(frozen=True)
class NeighbourGraph:
    """Row i holds the nearest neighbours of point i, nearest first.

    ``indices``: int64 ``(n, k)``. ``distances``: Euclidean, float64 ``(n, k)``, exactly 0 for points that coincide.
    """

    indices: Tensor
    distances: Tensor


def pairwise_distances(x: Tensor, y: Tensor | None = None) -> Tensor:
    """Euclidean distances ``(n, m)``, float64, between the rows of x and of y (of x itself by default).

    Computed from the Gram matrix of the centred points. Pairs so near that this would leave few digits are computed
    from their differences. Equal rows have distance exactly 0. The relative error of other distances is below
    10⁻¹¹·(d + 8). Cost O(nmd), memory O(nm).

    >>> pairwise_distances(torch.tensor([[0.0, 0.0], [3.0, 4.0]])).tolist()
    [[0.0, 5.0], [5.0, 0.0]]
    """
    x = check_features(x, rows=1)
    y = x if y is None else _check_other(x, y, "y")
    x, y, scale = _unit_scale(x, y)
    a = x - y.mean(0)
    b = a if y is x else y - y.mean(0)
    size = a.square().sum(1).unsqueeze(1) + b.square().sum(1)
    squared = torch.addmm(size, a, b.T, alpha=-2)
    near = squared <= NEAR * size
    if near.any():
        _, copy_of = _distinct(x if y is x else torch.cat([x, y]))
        same = copy_of[: len(x)].unsqueeze(1) == copy_of[-len(y) :]
        row, column = (near & ~same).nonzero(as_tuple=True)
        squared[row, column] = _of_pairs(x, y, row, column).square()
        squared[same] = 0
    return squared.sqrt_().mul_(scale)


def neighbour_graph(
    x: Tensor, k: int, *, bank: Tensor | None = None, own: Tensor | None = None, metric: str = "euclidean"
) -> NeighbourGraph:
    """The k nearest other points of each point, or the k nearest points of a bank; exact.

    A point is left out of its own neighbours by its index. A duplicate of it is therefore a neighbour at distance 0.
    Neighbours at equal distances are in the order of their indices; permute the points first to break ties at random.

    Args:
        x: ``(n, d)``. k: 1 to n − 1, or to m.
        bank: ``(m, d)``, the points to choose from; the other points of x by default.
        own: int64 ``(n,)``, for points that are in the bank: the row of each in the bank, which is left out.
        metric: ``"euclidean"``, or ``"cosine"``: the Euclidean distance between rows of length 1, √(2 − 2 cos), which
            has the ranks of the cosine. A row of zeros is at a right angle to all others, and equals other rows of
            zeros.

    Returns:
        A graph. Cost O(nmd), memory O(nk) and one block of distances. It costs more where many different points have
        distances that are equal up to rounding.

    >>> neighbour_graph(torch.tensor([[0.0], [1.0], [1.0], [5.0]]), 2).indices.tolist()
    [[1, 2], [2, 0], [1, 0], [1, 2]]
    """
    x = check_features(x, rows=1)
    y = x if bank is None else _check_other(x, bank, "bank")
    if bank is None:
        own = torch.arange(len(x), device=x.device)
    elif own is not None and (own.shape != (len(x),) or not ((own >= 0) & (own < len(y))).all()):
        raise InputError(f"own: expected ({len(x)},) rows of the bank of {len(y)}, received {tuple(own.shape)}")
    most = len(y) - (own is not None)
    if not 1 <= k <= most:
        raise InputError(f"k: expected 1 to {most} neighbours of {len(y)} points, received {k}")
    if metric not in ("euclidean", "cosine"):
        raise InputError(f"metric: expected 'euclidean' or 'cosine', received {metric!r}")
    if metric == "cosine":
        x = _directions(x)
        y = x if bank is None else _directions(y)
    x, y, scale = _unit_scale(x, y)
    wanted = k + (own is not None)  # the point itself is found with the others
    first, copy_of = _distinct(y)
    indices, distances = _search(x, y if len(first) == len(y) else y[first], min(wanted, len(first)))
    if len(first) < len(y):
        indices, distances = _with_copies(indices, distances, copy_of, wanted)
    if own is not None:
        others = indices != own.unsqueeze(1)
        others[others.all(1), -1] = False  # more than k copies precede the point itself: drop the last
        indices, distances = indices[others].view(-1, k), distances[others].view(-1, k)
    return NeighbourGraph(indices, distances * scale)


def _search(x: Tensor, y: Tensor, k: int) -> tuple[Tensor, Tensor]:
    """The k nearest rows of y of each row of x: indices and distances, by distance and then by index."""
    (n, d), m = x.shape, len(y)
    b = y - y.mean(0)
    a = b if x is y else x - y.mean(0)
    size_a, size_b = a.square().sum(1), b.square().sum(1)
    count = min(k + MARGIN, m)
    # With torch.set_float32_matmul_precision("medium") products may be of bfloat16 numbers, and the bound is not valid.
    single = m > SMALL and 4 * GROUP * count <= m and torch.get_float32_matmul_precision() == "highest"
    # The error of squared distances by products is at most these · (‖a‖² + ‖b‖²): rounding of the numbers, of the d
    # additions of a product and of the lengths (γ_d of Higham, Accuracy and Stability of Numerical Algorithms, 2002).
    coarse, fine = 1 / (2.0**24 / (d + 16) - 1), 4 * (d + 8) * 2.0**-53
    rounding = coarse if single else fine
    bounds = _Bounds(a, b, (1 - rounding) * size_b, torch.float32 if single else torch.float64)
    indices, distances = x.new_empty(n, k, dtype=torch.int64), x.new_empty(n, k)
    limit, doubtful = x.new_empty(n), []
    for rows in torch.arange(n, device=x.device).split(max(1, BLOCK // m)):
        lower, near = bounds.smallest(rows, count)
        size = size_a[rows].unsqueeze(1) + size_b[near]
        if single:
            found = _to_candidates(x[rows], y, near)
        else:
            squared = size_a[rows].unsqueeze(1) + (lower + rounding * size_b[near])
            found = _refined(squared, size, rounding, x[rows], y, near)
        indices[rows], distances[rows] = _ordered(found, near, k)
        # k points are no farther than ``limit``; a point that is no candidate is no nearer than ``bound``.
        limit[rows] = (found.square() + fine * size).kthvalue(k, dim=1).values
        if count < m:
            bound = lower.amax(1).double() + (1 - rounding) * size_a[rows]
            doubtful.append(rows[limit[rows] >= bound])
    for rows in torch.cat(doubtful).split(max(1, BLOCK // 8 // m)) if doubtful else ():
        lower = torch.addmm((1 - fine) * size_b, a[rows], b.T, alpha=-2) + (1 - fine) * size_a[rows].unsqueeze(1)
        row, column = (lower <= limit[rows].unsqueeze(1)).nonzero(as_tuple=True)
        found = _of_pairs(x, y, rows[row], column)
        indices[rows], distances[rows] = _first_of_each(row, column, found, k)
    return indices, distances


class _Bounds:
    """Lower bounds of ‖a − b‖² − ‖a‖², a block of rows at a time."""

    def __init__(self, a: Tensor, b: Tensor, size: Tensor, dtype: torch.dtype) -> None:
        # Pad with columns that are never among the smallest, so that groups are full. Their number is odd: values a
        # power of two apart in memory evict each other from the cache.
        groups = (len(b) // GROUP) | 1
        groups += 2 * (groups * GROUP < len(b))
        spare = groups * GROUP - len(b)
        b = b.to(dtype)
        self.a = a.to(dtype)
        self.b = torch.cat([b, b.new_zeros(spare, b.shape[1])])
        self.size = torch.cat([size, size.new_full((spare,), torch.inf)]).to(dtype)
        self.out = b.new_empty(0)

    def smallest(self, rows: Tensor, count: int) -> tuple[Tensor, Tensor]:
        """The ``count`` smallest of each row, in no order, and their columns."""
        m = len(self.b)
        if len(self.out) != len(rows):
            self.out = self.a.new_empty(len(rows), m)
        values = torch.addmm(self.size, self.a[rows], self.b.T, alpha=-2, out=self.out)
        if 4 * count > m // GROUP:
            found = values.topk(count, dim=1, largest=False, sorted=False)
            return found.values, found.indices
        # Columns r, r + g, r + 2g … are group r. The groups with the smallest minima hold the smallest values.
        grouped = values.view(len(rows), GROUP, m // GROUP)
        groups = grouped.amin(1).topk(count, dim=1, largest=False, sorted=False).indices
        members = grouped.gather(2, groups.unsqueeze(1).expand(-1, GROUP, -1)).flatten(1)
        found = members.topk(count, dim=1, largest=False, sorted=False)
        place = found.indices
        return found.values, place // count * (m // GROUP) + groups.gather(1, place % count)


def _to_candidates(x: Tensor, y: Tensor, near: Tensor) -> Tensor:
    """Distances ``(n, c)`` of each row of x to its candidates, by differences."""
    found = x.new_empty(near.shape)
    for rows in torch.arange(len(x), device=x.device).split(max(1, BLOCK // 16 // (near.shape[1] * x.shape[1]))):
        found[rows] = torch.cdist(x[rows].unsqueeze(1), y[near[rows]], compute_mode=BY_DIFFERENCES).squeeze(1)
    return found


def _refined(squared: Tensor, size: Tensor, rounding: float, x: Tensor, y: Tensor, near: Tensor) -> Tensor:
    """Distances from squared ones with an error of up to rounding · size.

    Where that leaves few digits, or does not decide the order of two, they are computed from differences.
    """
    values, order = squared.sort(dim=1)
    close = values.diff(dim=1) <= 2 * rounding * size.amax(1, keepdim=True)
    unsure = torch.zeros_like(squared, dtype=torch.bool)
    unsure[:, 1:] |= close
    unsure[:, :-1] |= close
    unsure = torch.zeros_like(unsure).scatter_(1, order, unsure) | (squared <= NEAR * size)
    found = squared.clamp(min=0).sqrt()
    row, column = unsure.nonzero(as_tuple=True)
    found[row, column] = _of_pairs(x, y, row, near[row, column])
    return found


def _of_pairs(x: Tensor, y: Tensor, i: Tensor, j: Tensor) -> Tensor:
    """Distances of the pairs x[i], y[j], by differences."""
    found = x.new_empty(len(i))
    for part in torch.arange(len(i), device=x.device).split(max(1, BLOCK // 16 // x.shape[1])):
        ends = x[i[part]].unsqueeze(1), y[j[part]].unsqueeze(1)
        found[part] = torch.cdist(*ends, compute_mode=BY_DIFFERENCES).flatten()
    return found


def _ordered(distances: Tensor, candidates: Tensor, k: int) -> tuple[Tensor, Tensor]:
    """The k nearest candidates of each row, by distance and then by index."""
    candidates, order = candidates.sort(dim=1)
    values, by_distance = distances.gather(1, order).sort(dim=1, stable=True)
    return candidates.gather(1, by_distance[:, :k]), values[:, :k]


def _first_of_each(row: Tensor, column: Tensor, distance: Tensor, k: int) -> tuple[Tensor, Tensor]:
    """:func:`_ordered` for a list of pairs, in which every row from 0 has at least k entries."""
    order = column.argsort(stable=True)
    order = order[distance[order].argsort(stable=True)]
    order = order[row[order].argsort(stable=True)]
    counts = torch.bincount(row)
    order = order[(counts.cumsum(0) - counts).unsqueeze(1) + torch.arange(k, device=row.device)]
    return column[order], distance[order]


def _distinct(y: Tensor) -> tuple[Tensor, Tensor]:
    """The first row of each distinct value, ascending, and for each row which of these it equals.

    For speed only: a search would compare all copies of a point one by one as ties.
    """
    every = torch.arange(len(y), device=y.device)
    _, key, counts = y.sum(1).unique(return_inverse=True, return_counts=True)
    repeated = every[counts[key] > 1]  # equal rows have equal sums
    if len(repeated) == 0:
        return every, every
    rows = np.ascontiguousarray(y[repeated].cpu().numpy()).view(f"V{y.shape[1] * y.itemsize}").ravel()
    _, first, inverse = np.unique(rows, return_index=True, return_inverse=True)
    source = every.clone()
    source[repeated] = repeated[torch.as_tensor(first, device=y.device)[torch.as_tensor(inverse, device=y.device)]]
    first_rows, copy_of = source.unique(return_inverse=True)
    return first_rows, copy_of


def _with_copies(indices: Tensor, distances: Tensor, copy_of: Tensor, k: int) -> tuple[Tensor, Tensor]:
    """Neighbours among all rows from neighbours among the distinct ones."""
    members = copy_of.argsort(stable=True)  # copies of the first distinct row, of the second …
    counts = torch.bincount(copy_of)
    starts = counts.cumsum(0) - counts
    before = counts[indices].cumsum(1) - counts[indices]
    # Copies of a point count where fewer than k nearer points precede them, or equally near ones.
    last = distances.gather(1, ((before < k).sum(1, keepdim=True) - 1))
    counted = (before < k) | (distances <= last)
    found, found_at = indices.new_empty(len(indices), k), distances.new_empty(len(indices), k)
    most = int((counts[indices].clamp(max=k) * counted).sum(1).max())
    for rows in torch.arange(len(indices), device=indices.device).split(max(1, BLOCK // most)):
        row, place = counted[rows].nonzero(as_tuple=True)
        group = indices[rows][row, place]
        several = counts[group].clamp(max=k)  # the first k copies by index
        at = torch.arange(int(several.sum()), device=row.device)
        at -= (several.cumsum(0) - several).repeat_interleave(several)
        column = members[starts[group].repeat_interleave(several) + at]
        distance = distances[rows][row, place].repeat_interleave(several)
        found[rows], found_at[rows] = _first_of_each(row.repeat_interleave(several), column, distance, k)
    return found, found_at


def _check_other(x: Tensor, y: Tensor, name: str) -> Tensor:
    y = check_features(y, rows=1, name=name)
    if x.shape[1] != y.shape[1]:
        raise InputError(f"x, {name}: expected (n, d) and (m, d), received {tuple(x.shape)} and {tuple(y.shape)}")
    return y


def _unit_scale(x: Tensor, y: Tensor) -> tuple[Tensor, Tensor, float]:
    """Both divided by a power of two (which is exact) near their spread, unless their squares fit without."""
    high, low = torch.maximum(x.amax(0), y.amax(0)), torch.minimum(x.amin(0), y.amin(0))
    spread = float((high / 2 - low / 2).max()) or float(torch.maximum(high.abs(), low.abs()).max())
    scale = 2.0 ** (math.frexp(spread)[1] - 1)
    if spread == 0 or 2.0**-30 < scale < 2.0**30:
        return x, y, 1.0
    scaled = x / scale
    return scaled, scaled if y is x else y / scale, scale


def _directions(x: Tensor) -> Tensor:
    """Rows of length 1 in one dimension more. The extra dimension is the direction of rows of zeros."""
    x = x / x.abs().amax(1, keepdim=True).clamp(min=torch.finfo(x.dtype).tiny)
    length = x.norm(dim=1, keepdim=True)
    return torch.cat([x / length.clamp(min=0.5), (length == 0).to(x.dtype)], dim=1)
