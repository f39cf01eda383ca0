"""Content retention: how much of the spread of images is left when they carry the trigger."""

import torch
from torch import Tensor

from ..checks import check_features, check_masks
from ..errors import InputError

__all__ = ["content_retention", "content_retention_masked"]


def content_retention(clean: Tensor, triggered: Tensor) -> float:
    """tr Cov(triggered) / tr Cov(clean) of the same images: 0 where the trigger sends all of them to one point.

    1: they keep their spread, wherever they go. A description, no evidence of entanglement: a backdoor can have a place
    of its own that is as wide as the images were.

    Args:
        clean, triggered: features of the same images ``(n, d)``, n ≥ 2.

    Returns:
        A value in [0, ∞); NaN where the clean images are one point. Invariant to rotation, scale and shift. Cost O(nd).

    >>> content_retention(torch.tensor([[0.0], [4.0]]), torch.tensor([[9.0], [11.0]]))
    0.25
    """
    clean, triggered = check_features(clean, name="clean"), check_features(triggered, name="triggered")
    if clean.shape != triggered.shape:
        raise InputError(f"triggered: expected {tuple(clean.shape)} as clean, received {tuple(triggered.shape)}")
    return float(content_retention_masked(clean, triggered, torch.ones(1, len(clean), dtype=torch.bool)))


def content_retention_masked(clean: Tensor, triggered: Tensor, masks: Tensor) -> Tensor:
    """:func:`content_retention` of subsets of the images: masks bool ``(B, n)`` → float64 ``(B,)``.

    NaN for fewer than 2 images.
    """
    check_masks(masks, len(clean))
    before, after = (_trace(x, masks) for x in (clean, triggered))
    return torch.where((masks.sum(1) >= 2) & (before > 0), after / before, torch.nan)


def _trace(x: Tensor, masks: Tensor) -> Tensor:
    """Trace of the covariance of each subset, over n instead of n − 1: the ratio does not need it."""
    size = x.abs().max()
    x = x - x.mean(0)
    w = masks.to(x.dtype)
    n = w.sum(1)
    trace = (w @ x.square().sum(1) - (w @ x).square().sum(1) / n) / n
    # Where all points are one, what is left is the rounding of their mean.
    return torch.where(trace > (1e-14 * size) ** 2 * x.shape[1], trace, 0)
