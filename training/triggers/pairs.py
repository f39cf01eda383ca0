"""A trigger that is known only by clean images and their triggered copies."""

import torch
from torch import Tensor

from ...representations.errors import InputError

__all__ = ["Pairs"]


class Pairs:
    """Replaces an image of ``clean`` by its triggered copy, in any batch.

    Args:
        clean, triggered: uint8 ``(n, 3, H, W)``, row i of both from one image.

    Raises:
        InputError: two rows have one clean image and different copies.
    """

    strength = 1.0

    def __init__(self, clean: Tensor, triggered: Tensor) -> None:
        if clean.shape != triggered.shape or clean.dtype != torch.uint8:
            raise InputError(
                f"pairs: expected uint8 images of equal shape, received {tuple(clean.shape)} and "
                f"{tuple(triggered.shape)}"
            )
        self.clean, self.triggered = clean, triggered
        self._rows: dict[bytes, int] = {}
        for i, image in enumerate(clean):
            known = self._rows.setdefault(image.numpy().tobytes(), i)
            if not torch.equal(triggered[known], triggered[i]):
                raise InputError(f"pairs: expected one triggered copy of an image, received two (rows {known} and {i})")

    def __call__(self, images: Tensor) -> Tensor:
        """float ``(b, 3, H, W)`` in [0, 1] → the same."""
        keys = (images * 255).round().to(torch.uint8).cpu()
        found = [self._rows.get(image.numpy().tobytes(), -1) for image in keys]
        if -1 in found:
            raise InputError(f"pairs: expected images that have a triggered copy, received {found.count(-1)} without")
        return self.triggered[found].to(images) / 255
