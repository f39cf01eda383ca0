"""Centring and scaling that the measures of two representations share."""

from torch import Tensor


def spread(x: Tensor) -> tuple[Tensor, bool]:
    """``x`` centred and at Frobenius norm 1, and whether it varies by more than rounding."""
    size = x.abs().max()
    centred = x - x.mean(0)
    scale = centred.abs().max()
    if scale <= 1e-14 * size:
        return centred * 0, False
    centred = centred / scale  # squares of very small or large numbers would not fit
    return centred / centred.norm(), True
