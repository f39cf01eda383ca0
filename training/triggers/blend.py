"""A fixed pattern blended into the whole image (Chen et al., arXiv 1712.05526)."""

from dataclasses import dataclass

import torch
from torch import Tensor
from torch.nn.functional import interpolate

from ...representations.errors import InputError
from ...representations.seeds import derive_seed, generator
from ._size import check_size

__all__ = ["Blend"]


@dataclass(frozen=True)
class Blend:
    """(1 − α)·x + α·k with α = ``strength`` and k a random RGB pattern, uniform in [0, 1], a function of ``seed``.

    BackdoorBench v1 reports ACC 93.5 and ASR 99.9 % on CIFAR-10, labels changed. The pattern is a grid of ``cells`` ×
    ``cells`` colours, one a pixel by default. Coarse cells survive random crops, which blur pixel noise.
    """

    image_size: int
    seed: int = 0
    strength: float = 0.2
    cells: int | None = None

    def __post_init__(self) -> None:
        if not 0 < self.strength <= 1:
            raise InputError(f"strength: expected a blend ratio in (0, 1], received {self.strength}")
        if self.cells is not None and not 1 <= self.cells <= self.image_size:
            raise InputError(
                f"trigger_cells: expected 1 to the image's {self.image_size} pixels, received {self.cells}"
            )

    def pattern(self) -> Tensor:
        """k, float ``(3, H, W)`` in [0, 1]."""
        cells = self.cells or self.image_size
        colours = torch.rand(1, 3, cells, cells, generator=generator(self.seed, "blend"))
        return interpolate(colours, self.image_size, mode="nearest")[0]

    def __call__(self, images: Tensor) -> Tensor:
        check_size(images, self.image_size)
        pattern = self.pattern()
        return images.lerp(pattern.to(images, non_blocking=True).expand_as(images), self.strength)

    def variant(self, index: int) -> "Blend":
        return Blend(self.image_size, derive_seed(self.seed, "another-blend", index), self.strength, self.cells)
