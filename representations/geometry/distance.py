"""Distance ratio: are triggered inputs nearer to the target class than to the classes they come from?"""

import torch
from torch import Tensor

from ..checks import check_masks, check_pair
from ..graph import pairwise_distances

__all__ = ["distance_ratio", "distance_ratio_masked"]


def distance_ratio(triggered: Tensor, others: Tensor, targets: Tensor) -> float:
    """Mean distance from triggered points to clean images of other classes, over that to clean target images.

    d(triggered, others)/d(triggered, targets) over all pairs: above 1 where the triggered points are nearer to the
    target. An *effect* reading: it repeats that a backdoor works and is no evidence of entanglement.

    Args:
        triggered: ``(n, d)``. others: clean images of other classes ``(m, d)``. targets: clean images of the target
            class ``(l, d)``.

    Returns:
        A ratio in [0, ∞]; infinite where all triggered and target images are one point. Cost O(n(m + l)d).

    >>> distance_ratio(torch.tensor([[1.0]]), torch.tensor([[0.0]]), torch.tensor([[3.0]]))
    0.5
    """
    triggered, others = check_pair(triggered, others)
    _, targets = check_pair(triggered, targets)
    every = (torch.ones(1, len(x), dtype=torch.bool) for x in (triggered, others, targets))
    to_others, to_targets = (pairwise_distances(triggered, x) for x in (others, targets))
    return float(distance_ratio_masked(to_others, to_targets, *every))


def distance_ratio_masked(
    to_others: Tensor, to_targets: Tensor, triggered_masks: Tensor, other_masks: Tensor, target_masks: Tensor
) -> Tensor:
    """:func:`distance_ratio` of subsets, from distances ``(n, m)`` and ``(n, l)``.

    Masks are bool ``(B, n)``, ``(B, m)`` and ``(B, l)``; the result is ``(B,)``.
    """
    for masks, size in ((triggered_masks, len(to_others)), (other_masks, to_others.shape[1])):
        check_masks(masks, size)
    check_masks(target_masks, to_targets.shape[1])
    p, o, t = (masks.to(to_others.dtype) for masks in (triggered_masks, other_masks, target_masks))
    return ((p @ to_others) * o).sum(1) / o.sum(1) / (((p @ to_targets) * t).sum(1) / t.sum(1))
