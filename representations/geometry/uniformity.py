"""Alignment and uniformity on the unit sphere (Wang and Isola, ICML 2020)."""

import math

import torch
from torch import Tensor
from torch.nn.functional import normalize

from ..checks import check_features
from ..errors import InputError

__all__ = ["alignment", "uniformity"]

CHUNK = 1024


def alignment(x: Tensor, positives: Tensor) -> float:
    """Mean squared distance of an image's two views on the unit sphere, E‖x/‖x‖ − y/‖y‖‖²: §4.1.1, with α = 2.

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
    return float((normalize(x, dim=1) - normalize(positives, dim=1)).square().sum(1).mean())


def uniformity(x: Tensor, *, t: float = 2.0) -> float:
    """log of the mean Gaussian potential exp(−t‖x_i − x_j‖²) over all pairs i ≠ j on the unit sphere: §4.1.2.

    Args:
        x: ``(n, d)``, n ≥ 2.

    Returns:
        A value in [−4t, 0]: 0 where all points coincide, lower where they spread; for points uniform on the sphere it
        tends to −2t as d grows. Cost O(n²d), memory O(n).

    >>> uniformity(torch.tensor([[1.0, 0.0], [-1.0, 0.0]]))
    -8.0
    """
    if not t > 0:
        raise InputError(f"t: expected a positive number, received {t}")
    x = normalize(check_features(x), dim=1)
    squares = x.square().sum(1)  # 1, or 0 for a row of zeros
    total = 0.0
    for start in range(0, len(x), CHUNK):
        part = x[start : start + CHUNK]
        squared = squares[start : start + CHUNK].unsqueeze(1) + squares - 2 * part @ x.T
        squared[torch.arange(len(part)), torch.arange(start, start + len(part))] = float("inf")  # itself
        total += float((-t * squared.clamp(min=0)).exp().sum())
    return math.log(total / (len(x) * (len(x) - 1)))
