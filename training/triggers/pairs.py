"""A trigger that is known by its results: clean images and their triggered copies."""

from dataclasses import dataclass, field

import torch
from torch import Tensor

from ...representations.errors import InputError

__all__ = ["Pairs"]


@dataclass(frozen=True, eq=False)
class Pairs:
    """Puts the triggered copy in the place of an image that it knows, whatever batch it comes in.

    Args:
        clean, triggered: uint8 ``(n, 3, H, W)``, row by row the same image. Two rows with one clean image and different
            copies are an error.
    """

    clean: Tensor = field(repr=False)
    triggered: Tensor = field(repr=False)
    strength: float = 1.0

    def __post_init__(self) -> None:
        if self.clean.shape != self.triggered.shape or self.clean.dtype != torch.uint8:
            raise InputError(
                f"pairs: expected uint8 images of equal shape, received {tuple(self.clean.shape)} and "
                f"{tuple(self.triggered.shape)}"
            )
        rows: dict[bytes, int] = {}
        for i, image in enumerate(self.clean):
            known = rows.setdefault(image.numpy().tobytes(), i)
            if not torch.equal(self.triggered[known], self.triggered[i]):
                raise InputError(f"pairs: expected one triggered copy of an image, received two (rows {known} and {i})")
        object.__setattr__(self, "_rows", rows)

    def __call__(self, images: Tensor) -> Tensor:
        """float ``(b, 3, H, W)`` in [0, 1] → the same."""
        rows: dict[bytes, int] = getattr(self, "_rows")  # noqa: B009
        keys = (images * 255).round().to(torch.uint8).cpu()
        found = [rows.get(image.numpy().tobytes(), -1) for image in keys]
        if -1 in found:
            raise InputError(f"pairs: expected images that have a triggered copy, received {found.count(-1)} without")
        return self.triggered[found].to(images) / 255
