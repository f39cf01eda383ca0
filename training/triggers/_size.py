"""A trigger is made for one image size: on another size it would be a different trigger of the same name."""

from torch import Tensor

from ...representations.errors import InputError


def check_size(images: Tensor, size: int) -> None:
    """Require images ``(n, 3, size, size)``."""
    if images.ndim != 4 or tuple(images.shape[1:]) != (3, size, size):
        raise InputError(f"images: expected (n, 3, {size}, {size}), received {tuple(images.shape)}")
