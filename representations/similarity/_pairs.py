"""Checks shared by the measures that compare two representations of the same images."""

from torch import Tensor

from ..checks import check_features
from ..errors import InputError


def check_two(x: Tensor, y: Tensor, *, rows: int) -> tuple[Tensor, Tensor]:
    """Both as float64, finite, with equal numbers of rows, at least ``rows``."""
    x, y = check_features(x, rows=rows), check_features(y, rows=rows, name="y")
    if len(x) != len(y):
        raise InputError(f"x, y: expected one row an image in both, received {tuple(x.shape)} and {tuple(y.shape)}")
    return x, y


def spread(x: Tensor) -> tuple[Tensor, bool]:
    """Centred and brought to Frobenius norm 1, and whether there was anything but rounding left."""
    size = x.abs().max()
    centred = x - x.mean(0)
    scale = centred.abs().max()
    if scale <= 1e-14 * size:
        return centred * 0, False
    centred = centred / scale  # squares of very small or large numbers would not fit
    return centred / centred.norm(), True
