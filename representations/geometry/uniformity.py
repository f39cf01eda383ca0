"""Alignment and uniformity on the unit sphere (Wang and Isola, ICML 2020)."""

import torch
from torch import Tensor

from ..checks import check_features, check_masks
from ..errors import InputError
from ._unit import unit

__all__ = ["alignment", "uniformity", "uniformity_masked"]

CHUNK = 1024


def alignment(x: Tensor, positives: Tensor) -> float:
    """Mean squared distance of an image's two views on the unit sphere, E‖x/‖x‖ − y/‖y‖‖² (§4.1.1, with α = 2).

    Args:
        x, positives: ``(n, d)``, row i of both from one image.

    Returns:
        A value in [0, 4]: 0 where views coincide, 2 for orthogonal ones. A row of zeros stays at the origin. Cost
        O(nd).

    >>> alignment(torch.tensor([[2.0, 0.0]]), torch.tensor([[0.0, 3.0]]))
    2.0
    """
    x, positives = check_features(x, rows=1), check_features(positives, rows=1, name="positives")
    if x.shape != positives.shape:
        raise InputError(f"positives: expected {tuple(x.shape)} as x, received {tuple(positives.shape)}")
    return float((unit(x) - unit(positives)).square().sum(1).mean())


def uniformity(x: Tensor, *, t: float = 2.0) -> float:
    """Log of the mean Gaussian potential exp(−t‖x_i − x_j‖²) over all pairs i ≠ j on the unit sphere (§4.1.2).

    Args:
        x: ``(n, d)``, n ≥ 2. t: at most 100.

    Returns:
        A value in [−4t, 0]: 0 where all points coincide, lower where they spread. For points uniform on the sphere it
        tends to −2t as d grows. A row of zeros stays at the origin. Invariant to rotation and scale. Cost O(n²d),
        memory O(n).

    >>> uniformity(torch.tensor([[1.0, 0.0], [-1.0, 0.0]]))
    -8.0
    """
    x = check_features(x)
    return float(uniformity_masked(x, torch.ones(1, len(x), dtype=torch.bool), t=t))


def uniformity_masked(x: Tensor, masks: Tensor, *, t: float = 2.0) -> Tensor:
    """:func:`uniformity` of subsets of the images.

    Args:
        masks: bool ``(B, n)``, the images of each subset.

    Returns:
        float64 ``(B,)``; NaN for fewer than 2 images. Cost O(n²(d + B)), memory O(Bn).
    """
    if not 0 < t <= 100:  # exp(−4t) must be a number
        raise InputError(f"t: expected a number in (0, 100], received {t}")
    x = unit(check_features(x, rows=1))
    check_masks(masks, len(x))
    squares = x.square().sum(1)  # 1, or 0 for a row of zeros
    w = masks.to(x.dtype)
    total, count = x.new_zeros(len(w)), w.sum(1)
    for rows in torch.arange(len(x)).split(CHUNK):
        squared = squares[rows].unsqueeze(1) + squares - 2 * x[rows] @ x.T
        squared[torch.arange(len(rows)), rows] = torch.inf  # itself
        total += ((w[:, rows] @ (-t * squared.clamp(min=0)).exp()) * w).sum(1)
    value = (total / (count * (count - 1))).log()
    return torch.where(count >= 2, value, torch.nan)
