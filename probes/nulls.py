"""Intervals and nulls that hold for pairwise and neighbour statistics.

Nothing here resamples points with replacement: duplicates become neighbours at distance zero and raise every similarity
(for independent data with d = 96 and n = 39, debiased CKA is −.005 and its bootstrap mean .70).
"""

from collections.abc import Callable

import torch
from scipy import stats
from torch import Tensor

from ..representations.errors import InputError
from ..representations.seeds import generator

__all__ = ["Interval", "jackknife_interval", "mean_interval", "swap_within_pairs", "t_interval"]

Interval = tuple[float, float]
NO_INTERVAL: Interval = (float("nan"), float("nan"))


def mean_interval(
    scores: Tensor, *, weights: Tensor | None = None, low: float = 0.0, high: float = 1.0, level: float = 0.95
) -> Interval:
    """Interval of the (weighted) mean of scores that lie in [low, high], one a query: accuracies, neighbour shares,
    placements.

    "Plus four": two scores at each end of the range are added before the normal interval is taken (Agresti and Coull,
    Am. Stat. 52, 1998, where the scores are 0 or 1). The interval then keeps a width when every score is the same:
    sixty zeros do not prove a rate of zero. Cut to [low, high]. NaN scores are left out. For scores that vary little
    the padding makes it wider than its level (99 % and more at n = 60): it errs on the safe side.
    """
    known = ~scores.isnan()
    scores = scores[known].double()
    if len(scores) == 0:
        return NO_INTERVAL
    w = torch.ones_like(scores) if weights is None else weights[known].double()
    size = w.sum() ** 2 / w.square().sum()  # as many equally weighted scores would be as sure
    w = torch.cat([w / w.sum() * size, torch.ones(4, dtype=w.dtype)])
    padded = torch.cat([scores, scores.new_tensor([low, low, high, high])])
    centre = (w * padded).sum() / w.sum()
    error = ((w * (padded - centre) ** 2).sum() / w.sum() / (size + 4)).sqrt()
    reach = float(stats.norm.ppf((1 + level) / 2)) * error
    return max(low, float(centre - reach)), min(high, float(centre + reach))


def jackknife_interval(
    statistic: Callable[[Tensor], Tensor], n: int, *, blocks: int = 20, level: float = 0.95, seed: int = 0
) -> Interval:
    """Delete-a-block jackknife around the statistic of all n images (Shao and Wu, Ann. Stat. 17, 1989).

    Args:
        statistic: which images are kept, bool ``(B, n)`` → the value of each subset, ``(B,)``.
        n: number of images. blocks: how many random blocks of nearly equal size are left out in turn, at most n.

    Returns:
        value ± t(blocks − 1)·se; NaN where the statistic is not finite for some block.
    """
    blocks = min(blocks, n)
    if blocks < 2:
        return NO_INTERVAL
    keep = torch.ones(blocks + 1, n, dtype=torch.bool)  # the last row leaves nothing out
    order = torch.randperm(n, generator=generator(seed, "jackknife", n))
    for row, left_out in zip(keep, order.tensor_split(blocks), strict=False):
        row[left_out] = False
    *without, whole = statistic(keep).double().tolist()
    # b·θ − (b − 1)·θ₋ᵢ are like independent estimates; their spread gives the error.
    pseudo = blocks * whole - (blocks - 1) * torch.tensor(without, dtype=torch.float64)
    reach = float(stats.t.ppf((1 + level) / 2, blocks - 1)) * float(pseudo.std()) / blocks**0.5
    return whole - reach, whole + reach


def t_interval(values: Tensor, *, level: float = 0.95) -> Interval:
    """Student's interval of the mean of independent values, such as one a seed or one a random trigger."""
    n = len(values)
    if n < 2:
        return NO_INTERVAL
    reach = float(stats.t.ppf((1 + level) / 2, n - 1)) * float(values.double().std()) / n**0.5
    return float(values.double().mean()) - reach, float(values.double().mean()) + reach


def swap_within_pairs(first: Tensor, second: Tensor, *, seed: int) -> tuple[Tensor, Tensor]:
    """Exchange the members of each pair (rows of equal index) with probability ½: no pair straddles a split
    afterwards."""
    if first.shape != second.shape:
        raise InputError(f"first, second: expected equal shapes, received {tuple(first.shape)}, {tuple(second.shape)}")
    swap = torch.rand(len(first), generator=generator(seed, "swap", len(first))) < 0.5
    swap = swap.view(-1, *[1] * (first.ndim - 1))
    return torch.where(swap, second, first), torch.where(swap, first, second)
