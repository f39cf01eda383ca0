"""Silhouette of one set of points against another."""

import torch
from torch import Tensor

from ..checks import check_masks
from ._two_sets import of_two_sets

__all__ = ["silhouette", "silhouette_masked"]


def silhouette(a: Tensor, b: Tensor) -> float:
    """Mean silhouette of two sets with equal weights: 0 together, 1 apart, negative when a set is split.

    A point has s = (β − α)/max(α, β). α is its mean distance to the rest of its own set, β that to the other set
    (Rousseeuw, J. Comput. Appl. Math. 20, 1987). With equal weights a set of sixty counts as much as one of thousands.
    For sets of equal size the value is scikit-learn's ``silhouette_score``. Coincident points (α = β = 0) score 0.

    Args:
        a: ``(n, d)``. b: ``(m, d)``. n, m ≥ 2.

    Returns:
        A value in [−1, 1]. Cost O((n + m)² d).

    >>> silhouette(torch.tensor([[0.0], [0.0]]), torch.tensor([[1.0], [1.0]]))
    1.0
    """
    return of_two_sets(silhouette_masked, a, b)


def silhouette_masked(distances: Tensor, in_a: Tensor, masks: Tensor) -> Tensor:
    """:func:`silhouette` of subsets of the points.

    Args:
        distances: float64 ``(n, n)``. in_a: bool ``(n,)``, the first set. masks: bool ``(B, n)``, the points of each
            subset.

    Returns:
        float64 ``(B,)``; NaN where a subset holds fewer than 2 points of a set.
    """
    check_masks(masks, len(distances))
    w_a, w_b = (masks & in_a).to(distances.dtype).T, (masks & ~in_a).to(distances.dtype).T  # (n, B)
    n_a, n_b = w_a.sum(0), w_b.sum(0)
    to_a, to_b = distances @ w_a, distances @ w_b
    first = in_a.unsqueeze(1)
    own = torch.where(first, to_a / (n_a - 1), to_b / (n_b - 1))
    other = torch.where(first, to_b / n_b, to_a / n_a)
    larger = torch.maximum(own, other)
    scores = torch.where(larger > 0, (other - own) / larger, torch.zeros_like(larger))
    value = ((scores * w_a).sum(0) / n_a + (scores * w_b).sum(0) / n_b) / 2
    return torch.where((n_a >= 2) & (n_b >= 2), value, torch.full_like(value, float("nan")))
