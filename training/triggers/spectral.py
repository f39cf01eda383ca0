"""CTRL's trigger: two DCT coefficients of the chroma channels (Li et al., ICCV 2023)."""

from dataclasses import dataclass

import torch
from torch import Tensor

from ...representations.errors import InputError
from ...representations.seeds import generator
from ._size import check_size

__all__ = ["Spectral", "dct_matrix"]

# BT.601, as in the official code: Y, U, V from R, G, B on the 0–255 scale, and back. The two are inverse to three
# decimals only, as in the official code.
TO_YUV = torch.tensor([[0.299, 0.587, 0.114], [-0.147, -0.289, 0.436], [0.615, -0.515, -0.100]])
TO_RGB = torch.tensor([[1.0, 0.0, 1.14], [1.0, -0.396, -0.581], [1.0, 2.029, 0.0]])
WINDOW = 32
POSITIONS = (15, 31)  # on the diagonal of a 32×32 window


def dct_matrix(n: int) -> Tensor:
    """Orthonormal DCT-II, ``(n, n)``: ``D @ x`` transforms the columns of x, ``D.T`` inverts.

    >>> d = dct_matrix(8)
    >>> torch.allclose(d @ d.T, torch.eye(8), atol=1e-6)
    True
    """
    k, i = torch.arange(n, dtype=torch.float64).view(-1, 1), torch.arange(n, dtype=torch.float64)
    d = torch.cos(torch.pi * (2 * i + 1) * k / (2 * n)) * (2 / n) ** 0.5
    d[0] /= 2**0.5
    return d.float()


@dataclass(frozen=True)
class Spectral:
    """Add m = ``strength`` (0–255 scale) to the DCT coefficients (15,15) and (31,31) of U and V in 32×32 windows;
    clamp.

    ``band="luma"`` adds it to Y instead, which a grayscale augmentation keeps.

    Images whose side is not a multiple of 32 are one window, with scaled positions. The transforms are linear: the
    trigger adds a fixed pattern, and no image is transformed. Luma is unchanged except for the clamp, so that a
    grayscale augmentation removes the trigger.
    """

    image_size: int
    strength: float = 100.0
    positions: tuple[tuple[int, int], ...] | None = None
    band: str = "chroma"

    def __post_init__(self) -> None:
        if not 0 < self.strength <= 2550:
            raise InputError(
                f"strength: expected a magnitude in (0, 2550] on the 0–255 scale, received {self.strength}"
            )

        if self.band not in ("chroma", "luma"):
            raise InputError(f"trigger_band: expected chroma or luma, received {self.band!r}")

    @property
    def window(self) -> int:
        return WINDOW if self.image_size % WINDOW == 0 else self.image_size

    @property
    def places(self) -> tuple[tuple[int, int], ...]:
        """The coefficients of a window that the trigger changes, (row, column)."""
        # The fraction of the band: 15/32 → just under half, 31/32 → the highest frequency.
        return self.positions or tuple(((p + 1) * self.window // WINDOW - 1,) * 2 for p in POSITIONS)

    def pattern(self) -> Tensor:
        """The pattern that is added to the RGB image on the 0–1 scale, ``(3, H, W)``."""
        n = self.window
        coefficients = torch.zeros(n, n)
        for row, column in self.places:
            coefficients[row, column] += self.strength
        d = dct_matrix(n)
        wave = (d.T @ coefficients @ d).repeat(self.image_size // n, self.image_size // n)
        nothing = torch.zeros_like(wave)
        yuv = (nothing, wave, wave) if self.band == "chroma" else (wave, nothing, nothing)
        return torch.einsum("cy,yhw->chw", TO_RGB, torch.stack(yuv)) / 255

    def __call__(self, images: Tensor) -> Tensor:
        check_size(images, self.image_size)
        # The official code converts to YUV and back, which changes a clean pixel by up to half a grey level.
        to_rgb, to_yuv, pattern = (x.to(images, non_blocking=True) for x in (TO_RGB, TO_YUV, self.pattern()))
        return (torch.einsum("cy,yk,nkhw->nchw", to_rgb, to_yuv, images) + pattern).clamp(0, 1)

    def variant(self, index: int) -> "Spectral":
        n, own = self.window, self.places
        # Two other frequencies without the constant: the same norm before the clamp, since the DCT is orthonormal.
        order = torch.randperm(n * n, generator=generator(index, "another-spectral", n)).tolist()
        places = [(f // n, f % n) for f in order if f > 0 and (f // n, f % n) not in own]
        return Spectral(self.image_size, self.strength, tuple(places[:2]), self.band)
