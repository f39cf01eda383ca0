"""Checks of inputs that the probes share."""

import torch
from torch import Tensor

from ..representations.errors import InputError

__all__ = [
    "check_batches",
    "check_controls",
    "check_finite",
    "check_folds",
    "check_groups",
    "check_labelled",
    "check_maps",
    "check_pairs",
]


def check_finite(*tensors: Tensor) -> None:
    """Require finite features."""
    if not all(torch.isfinite(x).all() for x in tensors):
        raise InputError("features: expected finite values, received NaN or infinity")


def check_pairs(clean: Tensor, triggered: Tensor) -> None:
    """Require features of the same images without and with the trigger, ``(n, d)`` both."""
    if clean.shape != triggered.shape or clean.ndim != 2:
        raise InputError(
            f"clean, triggered: expected equal (n, d), received {tuple(clean.shape)}, {tuple(triggered.shape)}"
        )


def check_labelled(x: Tensor, labels: Tensor, *, name: str = "features") -> None:
    """Require features ``(n, d)``, n > 0, and one label a row."""
    if x.ndim != 2 or labels.shape != (len(x),) or len(x) == 0:
        raise InputError(
            f"{name}, labels: expected (n, d) and (n,), received {tuple(x.shape)} and {tuple(labels.shape)}"
        )


def check_groups(groups: Tensor | None, labels: Tensor) -> Tensor:
    """The image that each row shows, int64 ``(n,)``; by default every row shows an image of its own."""
    if groups is None:
        return torch.arange(len(labels))
    if groups.shape != labels.shape:
        raise InputError(f"groups: expected shape {tuple(labels.shape)}, received {tuple(groups.shape)}")
    return groups


def check_folds(folds: int) -> None:
    """Require at least two folds."""
    if folds < 2:
        raise InputError(f"folds: expected at least 2, received {folds}")


def check_controls(controls: int) -> None:
    """Require at least one draw of the control task."""
    if controls < 1:
        raise InputError(f"controls: expected at least 1 draw of the control task, received {controls}")


def check_batches(images: Tensor, target: int, batch_size: int) -> None:
    """Require images ``(n, 3, H, W)``, a class from 0 and at least one image a batch."""
    if images.ndim != 4 or len(images) == 0:
        raise InputError(f"images: expected at least one, (n, 3, H, W), received {tuple(images.shape)}")
    if target < 0:
        raise InputError(f"target: expected a class from 0, received {target}")
    if batch_size < 1:
        raise InputError(f"batch_size: expected at least 1, received {batch_size}")


def check_maps(maps: Tensor, channels: str) -> None:
    """Require at least one finite map, ``(n, channels, H, W)`` or ``(n, H, W)``."""
    if maps.ndim not in (3, 4) or len(maps) == 0:
        raise InputError(f"maps: expected (n, {channels}, H, W) or (n, H, W), received {tuple(maps.shape)}")
    if not bool(maps.isfinite().all()):
        raise InputError("maps: expected finite values, received NaN or infinity")
