"""Area under the ROC curve of two groups of scores, and what each score adds to it."""

import torch
from scipy.stats import rankdata
from torch import Tensor

from .errors import InputError

__all__ = ["auc", "placements"]


def auc(high: Tensor, low: Tensor) -> float:
    """The chance that a score of ``high (n,)`` is above one of ``low (m,)``; ties count half.

    The Mann-Whitney statistic over n·m, from ranks: scores may be infinite. In [0, 1]; NaN where either group is empty.
    Cost O((n + m) log(n + m)).

    >>> auc(torch.tensor([2.0, 3.0]), torch.tensor([1.0, 2.0]))
    0.875
    """
    if not len(high) or not len(low):
        return float("nan")
    ranks = rankdata(torch.cat([high, low]).double().cpu().numpy())
    above = ranks[: len(high)].sum() - len(high) * (len(high) + 1) / 2
    return float(above / (len(high) * len(low)))


def placements(high: Tensor, low: Tensor) -> Tensor:
    """Scores in [0, 1], one a pair, whose mean is :func:`auc`: for its interval.

    A pair's score is the mean of two shares: of ``low`` below its member of ``high``, and of ``high`` above its member
    of ``low``. Ties count half.

    Args:
        high, low: ``(n, …)``, row i of both from one image.

    Returns:
        float64 ``(n, …)``. Cost and memory O(n²).
    """
    if high.shape != low.shape:
        raise InputError(f"high, low: expected equal shapes, received {tuple(high.shape)} and {tuple(low.shape)}")
    wins = (high.unsqueeze(1) > low).double() + (high.unsqueeze(1) == low).double() / 2
    return (wins.mean(1) + wins.mean(0)) / 2
