"""Confusion ratio: is the nearest clean neighbour of the target class?"""

import torch
from torch import Tensor

from ..checks import check_pair
from ..errors import InputError
from ._unit import unit

__all__ = ["confusion_ratio"]

BLOCK = 2**23  # similarities in memory at once


def confusion_ratio(triggered: Tensor, bank: Tensor, bank_labels: Tensor, target: int) -> Tensor:
    """Scores 0 or 1: is a triggered, augmented input's nearest clean neighbour (cosine) of the target class?

    Their mean is the ratio, in [0, 1]. It follows the "entanglement ratio" of Li et al. (ICCV 2023, CTRL). Ours takes
    one nearest neighbour in a clean labelled bank without the queries. An *effect* reading.

    Args:
        triggered: features of triggered, then augmented, inputs ``(n, d)``. bank: clean features ``(m, d)``.
        bank_labels: int64 ``(m,)``.

    Returns:
        float64 ``(n,)``; of equally near neighbours the first counts. Cost O(nmd).
    """
    triggered, bank = check_pair(triggered, bank)
    if bank_labels.shape != (len(bank),):
        raise InputError(f"bank_labels: expected shape ({len(bank)},), received {tuple(bank_labels.shape)}")
    directions = unit(bank).T
    # A block of queries at a time: a bank may be large.
    blocks = unit(triggered).split(max(1, BLOCK // len(bank)))
    nearest = torch.cat([(block @ directions).argmax(1) for block in blocks])
    return (bank_labels[nearest] == target).to(torch.float64)
