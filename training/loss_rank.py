"""Are poisons learned first? The rank of their loss among clean images of the same class."""

import torch
from scipy.stats import rankdata
from torch import Tensor

__all__ = ["loss_rank_auc", "rank_batch"]


def loss_rank_auc(losses: Tensor, is_poison: Tensor) -> float:
    """The chance that a poison's loss is lower than that of a clean image of its class; ties count half.

    .5 where they are alike, 1 where every poison is learned better: the premise of ABL (Li et al., NeurIPS 2021), which
    isolates the images of lowest loss early in training.

    Args:
        losses: ``(n,)``, one an image. is_poison: bool ``(n,)``.

    Returns:
        In [0, 1]; NaN without a poison or without a clean image.

    >>> loss_rank_auc(torch.tensor([0.1, 0.3, 0.2, 0.9]), torch.tensor([True, False, True, False]))
    1.0
    """
    poison, clean = losses[is_poison], losses[~is_poison]
    if not len(poison) or not len(clean):
        return float("nan")
    ranks = rankdata(torch.cat([poison, clean]).double().cpu().numpy())
    above = ranks[: len(poison)].sum() - len(poison) * (len(poison) + 1) / 2  # pairs in which the poison's is higher
    return float(1 - above / (len(poison) * len(clean)))


def rank_batch(mask: Tensor, labels: Tensor, target: int, batch: int, stream: torch.Generator) -> tuple[Tensor, int]:
    """A fixed batch to read losses off: indices into the training set, poisons first, then as many clean images with
    the label ``target``, then others as their fixed negatives; and how many each of the first two are (0: nothing to
    compare)."""

    def some(pool: Tensor, count: int) -> Tensor:
        return pool[torch.randperm(len(pool), generator=stream)[:count]]

    poisons, clean = mask.nonzero().flatten(), (~mask & (labels == target)).nonzero().flatten()
    count = min(len(poisons), len(clean), batch // 4)
    others = (~mask & (labels != target)).nonzero().flatten()
    return torch.cat([some(poisons, count), some(clean, count), some(others, batch - 2 * count)]), count
