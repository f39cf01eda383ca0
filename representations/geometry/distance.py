"""Distance ratio: are triggered inputs nearer to the target class than to the classes they come from?"""

import torch
from torch import Tensor

from ..checks import check_kept
from ..graph import pairwise_distances
from ._pairs import check_pair

__all__ = ["distance_ratio", "distance_ratio_of_kept"]


def distance_ratio(triggered: Tensor, others: Tensor, targets: Tensor) -> float:
    """Mean distance from triggered points to clean non-targets over that to clean targets.

    d(triggered, others)/d(triggered, targets) over all pairs: above 1 when the triggered points have moved to the
    target. An
    *effect* reading: it restates that a backdoor works and is no evidence of entanglement.

    Args:
        triggered: ``(n, d)``. others: clean images of other classes ``(m, d)``. targets: of the target ``(l, d)``.

    Returns:
        A ratio in [0, ∞); infinity where triggered and target images coincide in one point. Cost O(n(m + l)d).

    >>> distance_ratio(torch.tensor([[1.0]]), torch.tensor([[0.0]]), torch.tensor([[3.0]]))
    0.5
    """
    triggered, others = check_pair(triggered, others)
    _, targets = check_pair(triggered, targets)
    every = (torch.ones(1, len(x), dtype=torch.bool) for x in (triggered, others, targets))
    to_others, to_targets = (pairwise_distances(triggered, x) for x in (others, targets))
    return float(distance_ratio_of_kept(to_others, to_targets, *every))


def distance_ratio_of_kept(
    to_others: Tensor, to_targets: Tensor, keep_triggered: Tensor, keep_others: Tensor, keep_targets: Tensor
) -> Tensor:
    """The same for subsets, from distances ``(n, m)`` and ``(n, l)``; masks bool ``(B, n)``, ``(B, m)``, ``(B, l)`` →
    ``(B,)``."""
    for keep, size in ((keep_triggered, len(to_others)), (keep_others, to_others.shape[1])):
        check_kept(keep, size)
    check_kept(keep_targets, to_targets.shape[1])
    p, o, t = (keep.to(to_others.dtype) for keep in (keep_triggered, keep_others, keep_targets))
    return ((p @ to_others) * o).sum(1) / o.sum(1) / (((p @ to_targets) * t).sum(1) / t.sum(1))
