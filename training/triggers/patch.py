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

    BadNets (Gu et al., 2017): BackdoorBench v1 reports ACC 91.3 and ASR 95.0 % on CIFAR-10, labels changed.
    ``strength`` is the opacity in (0, 1]. The pattern is a function of ``seed``. :meth:`variant` also moves the square.

    ``place``: top and left, or ``"random"``: a different place in each image, between a quarter and three quarters of
    the sides, as in SSLBackdoor (Saha et al., CVPR 2022). The place is a function of the image, so that an image gets
    the same trigger in any batch.
    """

    image_size: int
    seed: int = 0
    strength: float = 1.0
    size: int = 3
    place: tuple[int, int] | str | None = None

    def __post_init__(self) -> None:
        if not 1 <= self.size <= self.image_size:
            raise InputError(
                f"trigger_size: expected 1 to the image's {self.image_size} pixels, received {self.size}: "
                "the trigger is larger than the image"
            )
        if isinstance(self.place, str):
            if self.place != "random":
                raise InputError(f"place: expected top and left, or random, received {self.place!r}")
            if self.size > self._span[1] - self._span[0]:
                raise InputError(
                    f"trigger_size: expected at most half of the image's {self.image_size} pixels for a patch at "
                    f"random places, received {self.size}"
                )
        elif self.place is not None and not all(0 <= p <= self.image_size - self.size for p in self.place):
            raise InputError(
                f"place: expected top and left from 0 to {self.image_size - self.size}, received {self.place}"
            )
        if not 0 < self.strength <= 1:
            raise InputError(f"strength: expected an opacity in (0, 1] for a patch, received {self.strength}")

    def __call__(self, images: Tensor) -> Tensor:
        check_size(images, self.image_size)
        pattern = torch.randint(0, 2, (3, self.size, self.size), generator=generator(self.seed, "patch"))
        if isinstance(self.place, str):
            return self._paste_anywhere(images, pattern.to(images, non_blocking=True))
        top, left = self.place or (max(0, self.image_size - self.size - 1),) * 2
        out = images.clone()
        window = out[..., top : top + self.size, left : left + self.size]
        window.lerp_(pattern.to(images, non_blocking=True).expand_as(window), self.strength)
        return out

    @property
    def _span(self) -> tuple[int, int]:
        return self.image_size // 4, self.image_size * 3 // 4

    def _paste_anywhere(self, images: Tensor, pattern: Tensor) -> Tensor:
        low, high = self._span
        grey = (images.flatten(1) * 255).round().long()
        code = (grey * (torch.arange(grey.shape[1], device=grey.device) % 251 + 1)).sum(1)  # depends on positions too
        choices = high - self.size - low + 1
        top, left = low + code % choices, low + code // choices % choices
        row, column = torch.arange(self.size, device=images.device), torch.arange(self.size, device=images.device)
        rows, columns = (top[:, None] + row)[:, None, :, None], (left[:, None] + column)[:, None, None, :]
        at = (torch.arange(len(images), device=images.device)[:, None, None, None],
              torch.arange(3, device=images.device)[None, :, None, None], rows, columns)  # fmt: skip
        return images.index_put(at, images[at].lerp(pattern.expand(len(images), -1, -1, -1), self.strength))

    def variant(self, index: int) -> "Patch":
        stream = generator(self.seed, "another-patch", index)
        top, left = torch.randint(0, self.image_size - self.size + 1, (2,), generator=stream).tolist()
        seed = int(torch.randint(0, 2**31, (1,), generator=stream))
        place = self.place if isinstance(self.place, str) else (top, left)
        return Patch(self.image_size, seed, self.strength, self.size, place)
