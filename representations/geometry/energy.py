"""Energy coefficient: how far apart two distributions are, relative to the distances between them."""

import torch
from torch import Tensor

from ..checks import check_masks
from ._two_sets import of_two_sets

__all__ = ["energy_coefficient", "energy_coefficient_masked"]


def energy_coefficient(a: Tensor, b: Tensor) -> float:
    """H(A, B) = (2E‖a − b‖ − E‖a − a′‖ − E‖b − b′‖) / 2E‖a − b‖: 0 for one distribution, 1 for two distant points.

    The energy distance over its largest value (Székely and Rizzo, J. Stat. Plan. Inference 143, 2013, §3). It is 0 only
    where the distributions are equal, so that a compact set inside a wide one is not 0. It needs no number of
    neighbours. Means within a set are over pairs i ≠ j: numerator and denominator are unbiased, and sets of one
    distribution give 0 on average at every n. It falls as A takes over a share m of B's distribution: the numerator is
    proportional to (1 − m)².

    Args:
        a: ``(n, d)``. b: ``(m, d)``. n, m ≥ 2.

    Returns:
        A value in [−1, 1]; NaN where all points of both sets are one. It is negative by chance only, and at least
        −1/(min(n, m) − 1). Invariant to rotation, scale and shift. Cost O((n + m)² d).

    >>> energy_coefficient(torch.tensor([[0.0], [0.0]]), torch.tensor([[1.0], [1.0]]))
    1.0
    """
    return of_two_sets(energy_coefficient_masked, a, b)


def energy_coefficient_masked(distances: Tensor, in_a: Tensor, masks: Tensor) -> Tensor:
    """:func:`energy_coefficient` of subsets of the points.

    Args:
        distances: float64 ``(n, n)``. in_a: bool ``(n,)``, the first set. masks: bool ``(B, n)``, the points of each
            subset.

    Returns:
        float64 ``(B,)``; NaN where a subset holds fewer than 2 points of a set.
    """
    check_masks(masks, len(distances))
    w_a, w_b = (masks & in_a).to(distances.dtype), (masks & ~in_a).to(distances.dtype)  # (B, n)
    n_a, n_b = w_a.sum(1), w_b.sum(1)
    from_a = w_a @ distances
    between = (from_a * w_b).sum(1) / (n_a * n_b)
    within_a = (from_a * w_a).sum(1) / (n_a * (n_a - 1))
    within_b = ((w_b @ distances) * w_b).sum(1) / (n_b * (n_b - 1))
    value = 1 - (within_a + within_b) / (2 * between)
    return torch.where((n_a >= 2) & (n_b >= 2), value, torch.nan)
