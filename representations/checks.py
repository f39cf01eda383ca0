"""Checks of inputs that the measures share."""

import torch
from torch import Tensor

from .errors import InputError

__all__ = ["check_features", "check_labels", "check_masks", "check_pair", "check_range", "check_same_images"]

ROUNDING = 1e-3
"""Interpolation and colour transforms leave [0, 1] by less."""


def check_features(x: Tensor, *, rows: int = 2, name: str = "x") -> Tensor:
    """``x`` as float64 ``(n, d)``, if it is finite and has at least ``rows`` rows."""
    if x.ndim != 2 or x.shape[1] == 0:
        raise InputError(f"{name}: expected (n, d), received {tuple(x.shape)}")
    if len(x) < rows:
        raise InputError(f"{name}: expected at least {rows} rows, received {len(x)}")
    x = x.double()
    if not torch.isfinite(x).all():
        raise InputError(f"{name}: expected finite features, received NaN or infinity")
    return x


def check_labels(labels: Tensor, n: int, *, classes: int = 2) -> tuple[Tensor, Tensor]:
    """The classes present and each row's index among them, if ``labels`` is int64 ``(n,)`` of at least ``classes``."""
    if labels.shape != (n,) or labels.dtype.is_floating_point:
        raise InputError(f"labels: expected int64 ({n},), received {labels.dtype} {tuple(labels.shape)}")
    present, codes = labels.unique(return_inverse=True)
    if len(present) < classes:
        raise InputError(f"labels: expected at least {classes} classes, received {present.tolist()}")
    return present, codes


def check_masks(masks: Tensor, n: int) -> None:
    """Require one mask a subset of the n images: bool ``(B, n)``."""
    if masks.ndim != 2 or masks.shape[1] != n or masks.dtype != torch.bool:
        raise InputError(f"masks: expected bool (B, {n}), received {masks.dtype} {tuple(masks.shape)}")


def check_pair(a: Tensor, b: Tensor) -> tuple[Tensor, Tensor]:
    """Two sets of points as float64 ``(n, d)`` and ``(m, d)``, if both are finite, not empty and equally wide."""
    if a.ndim != 2 or b.ndim != 2 or a.shape[1] != b.shape[1]:
        raise InputError(f"a, b: expected (n, d) and (m, d), received {tuple(a.shape)} and {tuple(b.shape)}")
    if len(a) == 0 or len(b) == 0:
        raise InputError(f"a, b: expected at least one point in each, received {len(a)} and {len(b)}")
    a, b = a.double(), b.double()
    if not (torch.isfinite(a).all() and torch.isfinite(b).all()):
        raise InputError("a, b: expected finite features, received NaN or infinity")
    return a, b


def check_same_images(x: Tensor, y: Tensor, *, rows: int) -> tuple[Tensor, Tensor]:
    """Two representations of the same images as float64, if both are finite with at least ``rows`` rows."""
    x, y = check_features(x, rows=rows), check_features(y, rows=rows, name="y")
    if len(x) != len(y):
        raise InputError(f"x, y: expected one row an image in both, received {tuple(x.shape)} and {tuple(y.shape)}")
    return x, y


def check_range(name: str, images: Tensor) -> None:
    """Require that images are uint8, or floats in [0, 1]: normalisation is part of the encoder."""
    if not images.is_floating_point() or not images.numel():
        return
    low, high = (float(v) for v in images.aminmax())
    if not (low >= -ROUNDING and high <= 1 + ROUNDING):
        raise InputError(f"{name}: expected uint8, or floats in [0, 1], received floats from {low:g} to {high:g}")
