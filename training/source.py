"""A source of images: it lists its labels first, and decodes only the rows that are chosen."""

from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import NamedTuple

import torch
from torch import Tensor

__all__ = ["Log", "Pixels", "Source", "in_memory"]

Log = Callable[[str], None]


class Pixels(NamedTuple):
    """images ``(n, 1 or 3, H, W)``, uint8 or float32 in [0, 1], of the requested rows that the bool mask ``readable``
    marks. ``mapped``: they are on disk (see :mod:`.decoded`), uint8; do not copy them as a whole."""

    images: Tensor
    readable: Tensor
    mapped: bool = False


@dataclass(frozen=True)
class Source:
    """A data set before any rows are chosen.

    labels: int64 ``(N,)``, official training images first. official: the number of these, None without a split. read:
    ``(index, image_size)`` → the pixels of those rows. image_size: the default, None for the images' own.
    """

    classes: tuple[str, ...]
    labels: Tensor
    official: int | None
    read: Callable[[Tensor, int | None], Pixels]
    image_size: int | None = None


def in_memory(
    classes: Iterable[str], images: Tensor, labels: Tensor, official: int | None, image_size: int | None = None
) -> Source:
    """A source whose images are in memory."""

    def read(index: Tensor, _: int | None) -> Pixels:
        return Pixels(images[index], torch.ones(len(index), dtype=torch.bool))

    return Source(tuple(classes), labels, official, read, image_size)
