"""Triggers: float batch in [0, 1] ``(n, 3, H, W)`` → triggered batch. One a file. The batch itself does not change.

>>> import torch
>>> from intertwine.training.triggers import Blend
>>> Blend(image_size=8, strength=0.5)(torch.zeros(2, 3, 8, 8)).max() <= 0.5
tensor(True)
"""

from typing import Protocol, runtime_checkable

from torch import Tensor

from .blend import Blend
from .pairs import Pairs
from .patch import Patch
from .picture import Picture, read_picture
from .sinusoid import Sinusoid
from .spec import read_trigger
from .spectral import Spectral
from .warp import Warp

__all__ = [
    "Blend",
    "Pairs",
    "Patch",
    "Picture",
    "Sinusoid",
    "Spectral",
    "Trigger",
    "Variants",
    "Warp",
    "read_picture",
    "read_trigger",
]


@runtime_checkable
class Variants(Protocol):
    """A trigger with other triggers of its kind: the ``random-trigger`` reference needs them."""

    def variant(self, index: int) -> "Trigger":
        """A trigger of the same kind and norm (up to clamping), on which no encoder is trained."""
        ...


class Trigger(Variants, Protocol):
    """A trigger of a recipe."""

    @property
    def strength(self) -> float:
        """In the trigger's own unit; the trigger fades towards 0."""
        ...

    def __call__(self, images: Tensor) -> Tensor:
        """The triggered batch: same shape, in [0, 1]."""
        ...
