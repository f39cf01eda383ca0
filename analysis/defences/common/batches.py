"""Batches of clean images for defences that train."""

from collections.abc import Iterator

import torch
from torch import Tensor

from ....representations.errors import InputError
from ....representations.seeds import generator
from ....training.augment import Augment

__all__ = ["clean_batches"]


def clean_batches(
    clean: Tensor, augment: Augment, device: torch.device, *, epochs: int, batch: int, seed: int, purpose: str
) -> Iterator[tuple[Tensor, Tensor]]:
    """Yield the indices and augmented float images in [0, 1] of each batch of each epoch, both on ``device``.

    The draws depend on ``seed``, ``purpose`` and the epoch, not on the device. A last batch of one image is left out:
    BatchNorm has no statistics of one image.

    Raises:
        InputError: fewer than two clean images.
    """
    if len(clean) < 2:
        raise InputError(f"clean: expected at least 2 images, received {len(clean)}")
    for epoch in range(epochs):
        stream = generator(seed, purpose, epoch)
        for index in torch.randperm(len(clean), generator=stream).split(batch):
            if len(index) > 1:
                yield index.to(device), augment(clean[index].to(device).float() / 255, stream)
