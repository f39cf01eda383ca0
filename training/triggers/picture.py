"""A trigger from an image file: a patch pasted on the image, or a picture blended into the whole image."""

import warnings
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import torch
from PIL import Image
from torch import Tensor
from torchvision.transforms.functional import pil_to_tensor

from ...representations.errors import InputError
from ...representations.seeds import derive_seed, generator
from ._size import check_size

__all__ = ["Picture", "read_picture"]

LARGEST = 4096
"""Largest number of pixels a side of a file."""


@dataclass(frozen=True, eq=False)
class Picture:
    """x + strength·α·(k − x) inside the window, x elsewhere.

    Args:
        colours: k, float ``(3, h, w)`` in [0, 1]. opacity: α, float ``(1, h, w)`` in [0, 1], the file's own.
        place: top and left of the window.
        strength: in (0, 1]. shuffled: the pattern's pixels in an order of this seed; None for the picture itself.
    """

    image_size: int
    colours: Tensor
    opacity: Tensor
    place: tuple[int, int] = (0, 0)
    strength: float = 1.0
    shuffled: int | None = None

    def __post_init__(self) -> None:
        height, width = self.colours.shape[-2:]
        top, left = self.place
        if not (0 <= top <= self.image_size - height and 0 <= left <= self.image_size - width):
            raise InputError(
                f"trigger: expected a picture inside the image's {self.image_size} pixels, received {height}×{width} "
                f"pixels at {self.place}"
            )
        if not 0 < self.strength <= 1:
            raise InputError(f"strength: expected an opacity in (0, 1], received {self.strength}")

    def __call__(self, images: Tensor) -> Tensor:
        check_size(images, self.image_size)
        colours, opacity = self._pattern()
        (top, left), (height, width) = self.place, colours.shape[-2:]
        out = images.clone()
        window = out[..., top : top + height, left : left + width]
        window.lerp_(colours.to(images).expand_as(window), (self.strength * opacity).to(images).expand_as(window))
        return out

    def variant(self, index: int) -> "Picture":
        """The same pixels in a random order, and for a patch at another place: the norm stays, the picture does not."""
        seed = derive_seed(self.shuffled or 0, "another-picture", index)
        stream = generator(seed, "place")
        room = [self.image_size - side for side in self.colours.shape[-2:]]
        top, left = (int(torch.randint(0, free + 1, (1,), generator=stream)) for free in room)
        return replace(self, shuffled=seed, place=(top, left))

    def _pattern(self) -> tuple[Tensor, Tensor]:
        if self.shuffled is None:
            return self.colours, self.opacity
        height, width = self.colours.shape[-2:]
        order = torch.randperm(height * width, generator=generator(self.shuffled, "pixels"))
        shuffled = torch.cat([self.colours, self.opacity]).flatten(1)[:, order].unflatten(1, (height, width))
        return shuffled[:3], shuffled[3:]


def read_picture(path: Path | str, *, size: tuple[int, int] | None = None) -> tuple[Tensor, Tensor]:
    """Colours ``(3, h, w)`` and opacity ``(1, h, w)`` of a file in [0, 1], resized to ``size`` (height, width).

    Raises:
        InputError: not a picture, an animated one, or one of more than 4,096 pixels a side.
    """
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("error", Image.DecompressionBombWarning)
            with Image.open(path) as file:
                if max(file.size) > LARGEST:
                    received = "×".join(map(str, file.size))
                    raise InputError(f"trigger: {path}: expected at most {LARGEST} pixels a side, received {received}")
                if (frames := getattr(file, "n_frames", 1)) > 1:
                    raise InputError(f"trigger: {path}: expected one picture, received {frames}")
                if file.mode in ("I", "F") and file.format != "PNG":
                    raise InputError(f"trigger: {path}: pixels of 32 bits have no fixed range")
                if file.mode.startswith("I"):  # 16 bits a pixel: Pillow's conversion would cut, not scale
                    grey = torch.from_numpy(np.asarray(file).astype(np.float32))[None] / 65535
                    pixels = torch.cat([grey.clamp(0, 1).expand(3, -1, -1), torch.ones_like(grey)])
                else:
                    pixels = pil_to_tensor(file.convert("RGBA")).float() / 255
    except InputError:
        raise
    except (OSError, ValueError, SyntaxError, Image.DecompressionBombError, Image.DecompressionBombWarning) as error:
        raise InputError(f"trigger: {path} is not a picture that can be read: {error}") from None
    colours, opacity = pixels[:3], pixels[3:]
    if size is not None and tuple(pixels.shape[-2:]) != size:
        # Transparent pixels have no colour: colours are averaged by opacity.
        weighed = torch.cat([colours * opacity, opacity])[None]
        resized = torch.nn.functional.interpolate(weighed, size, mode="bilinear", antialias=True)[0].clamp(0, 1)
        opacity = resized[3:]
        colours = (resized[:3] / opacity.clamp(min=1e-6)).clamp(0, 1)
    return colours, opacity
