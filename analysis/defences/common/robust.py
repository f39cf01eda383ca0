"""How far out a value lies among a few: median and MAD, as the rules of model inspection use them."""

import torch
from torch import Tensor

__all__ = ["above_median"]

MAD_OF_NORMAL = 1.4826


def above_median(values: Tensor) -> Tensor:
    """(v − median) / (1.4826·MAD), 0 below the median; float64 ``(c,)``. Where more than half of the values are equal,
    MAD is 0: infinite above them. The median of an even number is the mean of the middle two."""
    values = values.double()
    deviation = values - values.quantile(0.5)
    spread = MAD_OF_NORMAL * deviation.abs().quantile(0.5)
    out = deviation.clamp(min=0)
    return out / spread if spread > 0 else torch.where(out > 0, torch.inf, 0.0).double()
