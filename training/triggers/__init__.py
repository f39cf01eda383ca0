"""Triggers: a float batch in [0, 1] ``(n, 3, H, W)`` in, the triggered batch out. One a file; the batch is left as it
is.

>>> import torch
>>> from intertwine.training.triggers import Blend
>>> Blend(image_size=8, strength=0.5)(torch.zeros(2, 3, 8, 8)).max() <= 0.5
tensor(True)
"""

from typing import Protocol

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
    "Warp",
    "read_picture",
    "read_trigger",
]


class Trigger(Protocol):
    """What the toolkit asks of a trigger."""

    @property
    def strength(self) -> float:
        """In the trigger's own unit; towards 0 it fades."""
        ...

    def __call__(self, images: Tensor) -> Tensor:
        """The triggered batch: same shape, in [0, 1]."""
        ...

    def another(self, index: int) -> "Trigger":
        """Another trigger of the same kind and (up to clamping) norm that no encoder was trained on: the reference."""
        ...
