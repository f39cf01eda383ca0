"""Robust outlier scores, from median and MAD."""

import torch
from scipy.stats import median_abs_deviation
from torch import Tensor

__all__ = ["above_median"]

MAD_OF_NORMAL = 1.4826  # as the papers round it


def above_median(values: Tensor) -> Tensor:
    """(v − median) / (1.4826·MAD), and 0 below the median; float64 ``(c,)``.

    Where more than half of the values are equal, MAD is 0 and larger values get infinity. The median of an even number
    of values is the mean of the middle two.
    """
    values = values.double()
    spread = MAD_OF_NORMAL * float(median_abs_deviation(values.cpu().numpy()))
    out = (values - values.quantile(0.5)).clamp(min=0)
    return out / spread if spread > 0 else torch.where(out > 0, torch.inf, 0.0).double()
