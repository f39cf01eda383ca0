"""Checks shared by the measures that compare two sets of points."""

import torch
from torch import Tensor

from ..errors import InputError


def check_pair(a: Tensor, b: Tensor) -> tuple[Tensor, Tensor]:
    """Both as float64 ``(n, d)`` with equal d, or an error that names the shapes."""
    if a.ndim != 2 or b.ndim != 2 or a.shape[1] != b.shape[1]:
        raise InputError(f"a, b: expected (n, d) and (m, d), received {tuple(a.shape)} and {tuple(b.shape)}")
    if len(a) == 0 or len(b) == 0:
        raise InputError(f"a, b: expected at least one point in each, received {len(a)} and {len(b)}")
    a, b = a.double(), b.double()
    if not (torch.isfinite(a).all() and torch.isfinite(b).all()):
        raise InputError("a, b: expected finite features, received NaN or infinity")
    return a, b
