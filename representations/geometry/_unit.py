"""Directions: vectors at length 1."""

import torch
from torch import Tensor

__all__ = ["unit"]


def unit(x: Tensor) -> Tensor:
    """Vectors of the last dimension at length 1, whatever their scale; zeros stay.

    Own code: torch's ``normalize`` leaves vectors shorter than 1e-12 too short.
    """
    tiny = torch.finfo(x.dtype).tiny
    x = x / x.abs().amax(-1, keepdim=True).clamp(min=tiny)
    return x / x.norm(dim=-1, keepdim=True).clamp(min=tiny)
