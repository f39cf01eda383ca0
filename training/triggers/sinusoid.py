"""A sinusoid over the whole image (SIG: Barni, Kallas and Tondi, ICIP 2019)."""

import math
from dataclasses import dataclass

import torch
from torch import Tensor

from ...representations.errors import InputError
from ...representations.seeds import generator
from ._size import check_size

__all__ = ["Sinusoid"]


@dataclass(frozen=True)
class Sinusoid:
    """Add Δ·sin(2πfj/w + φ) to every channel, j the column and w the width; clamp.

    ``strength``: Δ on the 0–255 scale (40 in BackdoorBench's code, with f = 6 and clean labels). ``frequency``: f,
    cycles an image. ``upright``: j is the row instead. ``phase``: φ in radians. BackdoorBench v1 reports ACC 84.5
    and ASR 98.3 % (CIFAR-10, PreAct-ResNet-18, clean labels).
    """

    image_size: int
    strength: float = 40.0
    frequency: int = 6
    upright: bool = False
    phase: float = 0.0

    def __post_init__(self) -> None:
        if not 0 < self.strength <= 255:
            raise InputError(
                f"strength: expected an amplitude in (0, 255] on the 0–255 scale, received {self.strength}"
            )
        if not 1 <= self.frequency < self.image_size / 2:
            most = math.ceil(self.image_size / 2) - 1
            raise InputError(
                f"trigger_frequency: expected 1 to {most} cycles in {self.image_size} pixels, received {self.frequency}"
            )

    def pattern(self) -> Tensor:
        """The added pattern on the 0–1 scale, ``(3, H, W)``."""
        j = torch.arange(self.image_size, dtype=torch.float64)
        wave = torch.sin(2 * math.pi * self.frequency * j / self.image_size + self.phase).float() * self.strength / 255
        plane = wave.expand(self.image_size, -1)
        return (plane.T if self.upright else plane).expand(3, -1, -1)

    def __call__(self, images: Tensor) -> Tensor:
        check_size(images, self.image_size)
        return (images + self.pattern().to(images, non_blocking=True)).clamp(0, 1)

    def turned(self, seed: int) -> "Sinusoid":
        """The wave in a direction, columns or rows, and at a phase that the seed draws."""
        stream = generator(seed, "sinusoid")
        upright = bool(torch.rand(1, generator=stream) < 0.5)
        phase = 2 * math.pi * float(torch.rand(1, generator=stream))
        return Sinusoid(self.image_size, self.strength, self.frequency, upright, phase)

    def variant(self, index: int) -> "Sinusoid":
        """Another direction or frequency at a random phase: of the same norm before the clamp, and orthogonal."""
        waves = [
            (frequency, upright)
            for frequency in range(1, math.ceil(self.image_size / 2))
            for upright in (False, True)
            if (frequency, upright) != (self.frequency, self.upright)
        ]
        stream = generator(index, "another-sinusoid", self.image_size, self.frequency, self.upright)
        frequency, upright = waves[int(torch.randint(len(waves), (1,), generator=stream))]
        phase = 2 * math.pi * float(torch.rand(1, generator=stream))
        return Sinusoid(self.image_size, self.strength, frequency, upright, phase)
