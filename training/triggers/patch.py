"""A small square pasted on the image (BadNets: Gu et al., arXiv 1708.06733)."""

from dataclasses import dataclass

import torch
from torch import Tensor

from ...representations.errors import InputError
from ...representations.seeds import generator
from ._size import check_size

__all__ = ["Patch"]


@dataclass(frozen=True)
class Patch:
    """Paste a random square of ``size`` × ``size`` pixels, each channel 0 or 1, one pixel from the lower right corner.

    ``strength`` is its opacity in (0, 1]. The pattern is a function of ``seed``. :meth:`another` also moves the square.
    """

    image_size: int
    seed: int = 0
    strength: float = 1.0
    size: int = 3
    place: tuple[int, int] | None = None

    def __post_init__(self) -> None:
        if not 1 <= self.size <= self.image_size:
            raise InputError(
                f"trigger_size: expected 1 to the image's {self.image_size} pixels, received {self.size}: "
                "the trigger is larger than the image"
            )
        if self.place is not None and not all(0 <= p <= self.image_size - self.size for p in self.place):
            raise InputError(
                f"place: expected top and left from 0 to {self.image_size - self.size}, received {self.place}"
            )
        if not 0 < self.strength <= 1:
            raise InputError(f"strength: expected an opacity in (0, 1] for a patch, received {self.strength}")

    def __call__(self, images: Tensor) -> Tensor:
        check_size(images, self.image_size)
        pattern = torch.randint(0, 2, (3, self.size, self.size), generator=generator(self.seed, "patch"))
        top, left = self.place or (max(0, self.image_size - self.size - 1),) * 2
        out = images.clone()
        window = out[..., top : top + self.size, left : left + self.size]
        window.lerp_(pattern.to(images).expand_as(window), self.strength)
        return out

    def another(self, index: int) -> "Patch":
        stream = generator(self.seed, "another-patch", index)
        top, left = torch.randint(0, self.image_size - self.size + 1, (2,), generator=stream).tolist()
        seed = int(torch.randint(0, 2**31, (1,), generator=stream))
        return Patch(self.image_size, seed, self.strength, self.size, (top, left))
