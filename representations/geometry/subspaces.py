"""Angles between the spaces that two sets of directions span."""

import torch
from torch import Tensor

from ..checks import check_features
from ..errors import InputError

__all__ = ["differences", "principal_angles", "span_of_differences", "subspace_overlap"]


def principal_angles(a: Tensor, b: Tensor) -> Tensor:
    """Principal angles between the spans of the rows of two matrices, smallest first, in radians.

    Computed from the singular values of A Bᵀ and, for small angles, of the part of one basis outside the other's span
    (Björck and Golub, Math. Comp. 27, 1973). Angles of 1e-9 are then distinct from 0.

    Args:
        a: directions ``(p, d)``. b: ``(q, d)``. They are not centred; for differences of points see
            :func:`span_of_differences`.

    Returns:
        float64 ``(min(rank a, rank b),)`` in [0, π/2]. Two random spaces in d dimensions are at right angles only if
        (p + q)/d is small.

    Raises:
        InputError: unequal widths, or only zeros.

    >>> [round(v, 6) for v in principal_angles(torch.tensor([[1.0, 0.0]]), torch.tensor([[1.0, 1.0]])).tolist()]
    [0.785398]
    """
    first, second = _basis(a, "a"), _basis(b, "b")
    if first.shape[1] != second.shape[1]:
        raise InputError(f"a, b: expected directions of one width, received {first.shape[1]} and {second.shape[1]}")
    if len(first) < len(second):
        first, second = second, first
    cosines = torch.linalg.svdvals(first @ second.T)
    sines = torch.linalg.svdvals(second - second @ first.T @ first).flip(0)
    count = len(second)
    return torch.atan2(sines[:count].clamp(max=1), cosines[:count])


def subspace_overlap(a: Tensor, b: Tensor) -> float:
    """Share of the smaller of two spans that lies in the larger: mean squared cosine of the principal angles.

    Returns:
        A value in [0, 1]: 1 where one contains the other, 0 at right angles, NaN where either has dimension 0. Report
        chance beside it: random spans of p and q dimensions give max(p, q)/d on average. Invariant to rotation of both
        and scale of either. Cost O(d(p + q)²).

    >>> subspace_overlap(torch.eye(4)[:2], torch.eye(4)[1:3])
    0.5
    """
    a, b = check_features(a, rows=0, name="a"), check_features(b, rows=0, name="b")
    if not (a.any() and b.any()):
        return float("nan")
    return float(principal_angles(a, b).cos().square().mean())


def span_of_differences(points: Tensor) -> Tensor:
    """Orthonormal basis ``(r, d)`` of the span of the differences between points ``(p, d)``, r ≤ p − 1.

    Empty where all points coincide.

    >>> span_of_differences(torch.tensor([[1.0, 5.0], [3.0, 5.0], [4.0, 5.0]])).abs().tolist()
    [[1.0, 0.0]]
    """
    rows, _, real = differences(check_features(points, name="points"))
    return rows[real]


def differences(points: Tensor, *, size: Tensor | None = None) -> tuple[Tensor, Tensor, Tensor]:
    """Directions in which points differ, by SVD of the centred points.

    All measures decide by this function whether class means differ. Centring p points leaves a p-th direction that is
    only rounding. It grows with the distance of the points from 0 and would be taken for a real direction.

    Args:
        points: float64 ``(…, p, d)``.
        size: of the largest feature, ``(…)``, by default that of the largest point. Give it where the points are means
            of much larger features: the means carry their rounding.

    Returns:
        With r = min(p − 1, d): directions ``(…, r, d)``, their singular values ``(…, r)``, and which of them are more
        than rounding, bool ``(…, r)``.
    """
    _, singular, rows = torch.linalg.svd(points - points.mean(-2, keepdim=True), full_matrices=False)
    most = min(points.shape[-2] - 1, points.shape[-1])
    size = points.abs().amax((-2, -1)) if size is None else size
    rounding = max(points.shape[-2:]) * torch.finfo(points.dtype).eps * torch.maximum(singular[..., 0], size)
    return rows[..., :most, :], singular[..., :most], singular[..., :most] > rounding.unsqueeze(-1)


def _basis(directions: Tensor, name: str) -> Tensor:
    """Orthonormal rows that span the given ones, by numerical rank."""
    x = check_features(directions, rows=1, name=name)
    if not x.abs().max() > 0:
        raise InputError(f"{name}: expected directions, received only zeros")
    _, singular, rows = torch.linalg.svd(x / x.abs().max(), full_matrices=False)
    return rows[singular > max(x.shape) * torch.finfo(x.dtype).eps * singular[0]]
