"""Angles between the spaces that two sets of directions span."""

import torch
from torch import Tensor

from ..checks import check_features
from ..errors import InputError

__all__ = ["principal_angles", "subspace_overlap"]


def principal_angles(a: Tensor, b: Tensor) -> Tensor:
    """Principal angles between the spans of the rows of two matrices, smallest first, in radians.

    By the singular values of A Bᵀ and, for small angles, of what of the one basis lies outside the other's span (Björck
    and Golub, Math. Comp. 27, 1973), so that angles of 1e-9 are told from 0.

    Args:
        a: directions ``(p, d)``. b: ``(q, d)``; as they are: centre them first if the span of differences is meant.

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
        A value in [0, 1]: 1 where one contains the other, 0 at right angles, max(p, q)/d on average for random spans.
        Invariant to rotation and to the scale of either. NaN where either matrix holds only zeros.

    >>> subspace_overlap(torch.eye(4)[:2], torch.eye(4)[1:3])
    0.5
    """
    if not (a.abs().max() > 0 and b.abs().max() > 0):
        return float("nan")
    return float(principal_angles(a, b).cos().square().mean())


def _basis(directions: Tensor, name: str) -> Tensor:
    """Orthonormal rows that span the given ones, by numerical rank."""
    x = check_features(directions, rows=1, name=name)
    if not x.abs().max() > 0:
        raise InputError(f"{name}: expected directions, received only zeros")
    _, singular, rows = torch.linalg.svd(x / x.abs().max(), full_matrices=False)
    return rows[singular > max(x.shape) * torch.finfo(x.dtype).eps * singular[0]]
