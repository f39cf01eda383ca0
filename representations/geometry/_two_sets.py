"""A statistic of two sets of points, from its form for many subsets of their union."""

from collections.abc import Callable

import torch
from torch import Tensor

from ..checks import check_pair
from ..errors import InputError
from ..graph import pairwise_distances


def of_two_sets(masked: Callable[[Tensor, Tensor, Tensor], Tensor], a: Tensor, b: Tensor) -> float:
    """``masked``: distances ``(n, n)``, which points are of ``a``, masks ``(B, n)`` → values ``(B,)``.

    Raises:
        InputError: fewer than 2 points in a set.
    """
    a, b = check_pair(a, b)
    if min(len(a), len(b)) < 2:
        raise InputError(f"a, b: expected at least 2 points in each, received {len(a)} and {len(b)}")
    points = torch.cat([a, b])
    every = torch.ones(1, len(points), dtype=torch.bool)
    return float(masked(pairwise_distances(points), torch.arange(len(points)) < len(a), every))
