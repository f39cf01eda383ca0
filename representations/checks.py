"""What every measure asks of its features."""

import torch
from torch import Tensor

from .errors import InputError

__all__ = ["check_features", "check_kept", "check_labels"]


def check_features(x: Tensor, *, rows: int = 2, name: str = "x") -> Tensor:
    """Float64 ``(n, d)``, finite, with at least ``rows`` rows, or an error that says what was received."""
    if x.ndim != 2 or x.shape[1] == 0:
        raise InputError(f"{name}: expected (n, d), received {tuple(x.shape)}")
    if len(x) < rows:
        raise InputError(f"{name}: expected at least {rows} rows, received {len(x)}")
    x = x.double()
    if not torch.isfinite(x).all():
        raise InputError(f"{name}: expected finite features, received NaN or infinity")
    return x


def check_labels(labels: Tensor, n: int, *, classes: int = 2) -> tuple[Tensor, Tensor]:
    """The classes present and the index of each row's class, for int64 labels ``(n,)`` of at least ``classes``."""
    if labels.shape != (n,) or labels.dtype.is_floating_point:
        raise InputError(f"labels: expected int64 ({n},), received {labels.dtype} {tuple(labels.shape)}")
    present, codes = labels.unique(return_inverse=True)
    if len(present) < classes:
        raise InputError(f"labels: expected at least {classes} classes, received {present.tolist()}")
    return present, codes


def check_kept(keep: Tensor, n: int) -> None:
    """Which of n images each subset keeps, bool ``(B, n)``."""
    if keep.ndim != 2 or keep.shape[1] != n or keep.dtype != torch.bool:
        raise InputError(f"keep: expected bool (B, {n}), received {keep.dtype} {tuple(keep.shape)}")
