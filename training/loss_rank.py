"""Are poisons learned first? The rank of their loss among clean images of the same class."""

import torch
from torch import Tensor

from ..representations.auc import auc

__all__ = ["loss_rank_auc", "rank_batch"]


def loss_rank_auc(losses: Tensor, is_poison: Tensor) -> float:
    """The chance that a poison's loss is lower than that of a clean image of its class; ties count half.

    .5 where they are equal, 1 where every poison is learned better. ABL (Li et al., NeurIPS 2021) assumes the latter:
    it isolates the images of lowest loss early in training.

    Args:
        losses: ``(n,)``, one an image. is_poison: bool ``(n,)``.

    Returns:
        A value in [0, 1]; NaN without a poison or without a clean image.

    >>> loss_rank_auc(torch.tensor([0.1, 0.3, 0.2, 0.9]), torch.tensor([True, False, True, False]))
    1.0
    """
    return 1 - auc(losses[is_poison], losses[~is_poison])


def rank_batch(mask: Tensor, labels: Tensor, target: int, batch: int, stream: torch.Generator) -> tuple[Tensor, int]:
    """Draw a fixed batch whose losses are compared.

    It has poisons first, then as many clean images with the label ``target``, then other clean images as negatives.

    Returns:
        Indices into the training set, and the number of poisons, which is that of clean images of the target too; 0
        where there is none to compare.
    """

    def some(pool: Tensor, count: int) -> Tensor:
        return pool[torch.randperm(len(pool), generator=stream)[:count]]

    poisons, clean = mask.nonzero().flatten(), (~mask & (labels == target)).nonzero().flatten()
    count = min(len(poisons), len(clean), batch // 4)
    others = (~mask & (labels != target)).nonzero().flatten()
    return torch.cat([some(poisons, count), some(clean, count), some(others, batch - 2 * count)]), count
