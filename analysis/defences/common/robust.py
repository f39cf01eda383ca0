"""Robust outlier scores, from median and MAD."""

import torch
from torch import Tensor

__all__ = ["above_median"]

MAD_OF_NORMAL = 1.4826


def above_median(values: Tensor) -> Tensor:
    """(v − median) / (1.4826·MAD), and 0 below the median; float64 ``(c,)``.

    Where more than half of the values are equal, MAD is 0 and larger values get infinity. The median of an even number
    of values is the mean of the middle two.
    """
    values = values.double()
    deviation = values - values.quantile(0.5)
    spread = MAD_OF_NORMAL * deviation.abs().quantile(0.5)
    out = deviation.clamp(min=0)
    return out / spread if spread > 0 else torch.where(out > 0, torch.inf, 0.0).double()
