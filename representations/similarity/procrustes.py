"""Shape distance: the difference of two representations after the best rotation."""

import math

import torch
from torch import Tensor

from ..checks import check_same_images
from ..errors import InputError
from ..seeds import generator
from ._spread import spread

__all__ = ["procrustes_distance", "procrustes_score"]

EPS = torch.finfo(torch.float64).eps


def procrustes_distance(x: Tensor, y: Tensor) -> float:
    """Angle between two representations after centring, scaling and the best orthogonal map: arccos ‖XᵀY‖_*.

    The angular shape metric of Williams et al., NeurIPS 2021. X and Y are centred and at Frobenius norm 1; ‖·‖_* is the
    sum of singular values. The narrower representation is padded with zeros, which does not change the value.

    Args:
        x: ``(n, d)``. y: ``(n, e)``, row i of both from one image, n ≥ 2.

    Returns:
        A distance in [0, π/2]: 0 exactly where one is a rotated, scaled, shifted copy of the other; NaN if either is
        constant. It satisfies the triangle inequality. With d near n it is small for any data: see
        :func:`procrustes_score`. Cost O(nde + min(d, e)³).

    >>> x = torch.randn(30, 4, generator=torch.Generator().manual_seed(0))
    >>> procrustes_distance(x, 2 * x.flip(1) + 5) < 1e-7
    True
    """
    x, y = check_same_images(x, y, rows=2)
    (a, varies_a), (b, varies_b) = spread(x), spread(y)
    if not (varies_a and varies_b):
        return float("nan")
    if a.shape[1] > b.shape[1]:  # rotate the narrower one, which lies inside the common dimensions
        a, b = b, a
    left, _, right = torch.linalg.svd(a.T @ b, full_matrices=False)
    # From the chord, ‖a·Q − b‖ = 2 sin(θ/2): arccos loses half of the digits of a small angle.
    chord = float((a @ (left @ right) - b).norm())
    return 2 * math.asin(min(1.0, chord / 2))


def procrustes_score(x: Tensor, y: Tensor, *, folds: int = 2, seed: int = 0) -> float:
    """Held-out R² of the best rotation, scale and shift from x to y.

    The map is fitted on the other folds. R² = 1 − Σ‖y − ŷ‖²/Σ‖y − ȳ‖² over the held-out images, ȳ the mean of the fit.
    The narrower representation is padded with zeros: the part of a wider x outside the dimensions of y is lost. In the
    fit itself R² is cos² of :func:`procrustes_distance`, and symmetric.

    Args:
        x: ``(n, d)``. y: ``(n, e)``, row i of both from one image, n ≥ 2·folds. folds: at least 2.

    Returns:
        A similarity of at most 1; NaN if either is constant in a fit. It is 1 for a rotated, scaled, shifted copy, if a
        fit has more than d images: they determine the rotation only in their span. It is 0 or less where x does not
        predict y, also for d ≥ n, where the in-sample distance is small. Held out it is not quite symmetric in x and y.
        Invariant to rotation, scale and shift of either. Cost O(nde + min(d, e)³) a fold.

    >>> x = torch.randn(40, 4, generator=torch.Generator().manual_seed(0))
    >>> round(procrustes_score(x, 2 * x.flip(1) + 5), 6)
    1.0
    """
    if folds < 2:
        raise InputError(f"folds: expected at least 2, received {folds}")
    x, y = check_same_images(x, y, rows=2 * folds)
    # At unit scale: squares of very small or large numbers would not fit.
    x, y = (z / z.abs().max().clamp(min=torch.finfo(z.dtype).tiny) for z in (x, y))
    order = torch.randperm(len(x), generator=generator(seed, "procrustes", len(x)))
    missed, total = 0.0, 0.0
    for held in order.tensor_split(folds):
        fit = torch.ones(len(x), dtype=torch.bool)
        fit[held] = False
        (_, varies_x), (_, varies_y) = spread(x[fit]), spread(y[fit])
        if not (varies_x and varies_y):
            return float("nan")
        mean_x, mean_y = x[fit].mean(0), y[fit].mean(0)
        a, b = x[fit] - mean_x, y[fit] - mean_y
        left, singular, right = torch.linalg.svd(a.T @ b, full_matrices=False)
        # Outside the span of the fit, SVD completes the rotation by rounding. Those directions are left out, which is
        # the mean over all completions.
        rounding = max(x.shape[1], y.shape[1]) * EPS * (a.norm() * y[fit].norm() + b.norm() * x[fit].norm())
        left, right = left[:, singular > rounding], right[singular > rounding]
        scale = singular.sum() / a.square().sum()
        new = (x[held] - mean_x) * scale
        inside = new @ left
        missed += float((y[held] - mean_y - inside @ right).square().sum() + (new - inside @ left.T).square().sum())
        total += float((y[held] - mean_y).square().sum())
    return 1 - missed / total if total > 0 else float("nan")
