"""A smooth warp of the whole image (WaNet: Nguyen and Tran, ICLR 2021)."""

from dataclasses import dataclass

import torch
from torch import Tensor
from torch.nn.functional import affine_grid, grid_sample, interpolate

from ...representations.errors import InputError
from ...representations.seeds import derive_seed, generator
from ._size import check_size

__all__ = ["Warp"]


@dataclass(frozen=True)
class Warp:
    """Shift each pixel along a random field, drawn on a grid of ``control`` × ``control`` points and interpolated.

    The field is uniform noise divided by its mean absolute value, in units of half a pixel times ``strength``.
    Interpolated, and cut off at the borders, it moves pixels by about a third of ``strength`` on average. ``strength``
    is .5 in the official code, with control = 4. (BackdoorBench v1: ACC 91.3, ASR 89.7 % on CIFAR-10.) The field is a
    function of ``seed``. The paper's noise mode is a way of training and not included: images warped at random that
    keep their labels, twice as many as poisons. :meth:`variant` has a field of the same size at its control points. The
    change of an image then differs by up to a third.
    """

    image_size: int
    seed: int = 0
    strength: float = 0.5
    control: int = 4

    def __post_init__(self) -> None:
        if not 0 < self.strength <= self.image_size:
            raise InputError(
                f"strength: expected a warp in (0, {self.image_size}] for images of {self.image_size} pixels, received "
                f"{self.strength}"
            )
        if not 2 <= self.control <= self.image_size:
            raise InputError(
                f"trigger_cells: expected 2 to the image's {self.image_size} pixels as control points, received "
                f"{self.control}"
            )

    def grid(self) -> Tensor:
        """The source of each pixel, ``(H, W, 2)`` in [−1, 1]."""
        size = self.image_size
        noise = 2 * torch.rand(1, 2, self.control, self.control, generator=generator(self.seed, "warp")) - 1
        field = interpolate(noise / noise.abs().mean(), size, mode="bicubic", align_corners=True)
        identity = affine_grid(torch.eye(2, 3).unsqueeze(0), [1, 3, size, size], align_corners=True)[0]
        return (identity + self.strength * field[0].permute(1, 2, 0) / size).clamp(-1, 1)

    def __call__(self, images: Tensor) -> Tensor:
        check_size(images, self.image_size)
        grid = self.grid().to(images, non_blocking=True).expand(len(images), -1, -1, -1)
        return grid_sample(images, grid, align_corners=True).clamp(0, 1)

    def variant(self, index: int) -> "Warp":
        return Warp(self.image_size, derive_seed(self.seed, "another-warp", index), self.strength, self.control)
