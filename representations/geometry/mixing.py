"""Neighbour mixing: do two sets of points share a neighbourhood?"""

from dataclasses import dataclass

import torch
from torch import Tensor

from ..errors import InputError
from ..seeds import generator
from ._pairs import check_pair

__all__ = ["Mixing", "neighbour_mixing"]


@dataclass(frozen=True)
class Mixing:
    """``value`` and the two sets' scores it averages: a score is one query's share of foreign neighbours, rescaled like
    the value; NaN where the point was in no draw. Resample these for an interval, never the points."""

    value: float
    scores_a: Tensor
    scores_b: Tensor

    def __float__(self) -> float:
        return self.value


def neighbour_mixing(a: Tensor, b: Tensor, *, k: int = 10, draws: int = 10, seed: int = 0) -> Mixing:
    r"""Share of foreign points among the k nearest neighbours in the balanced union of two sets.

    With n points drawn from each set: mean over the 2n points of (foreign among k nearest)/k, times (2n−1)/n, which is
        the
    inverse of the share expected when the sets are one: 1 when fully mixed, 0 apart, at most (2n−1)/n < 2. The larger
    set is subsampled ``draws`` times without replacement and the scores are averaged. Euclidean distance; ties are
    broken at random, so that duplicates are neither preferred nor avoided.

    Args:
        a: ``(n_a, d)``. b: ``(n_b, d)``. k: neighbours, fewer than 2·min(n_a, n_b) − 1.

    Raises:
        InputError: the smaller set has too few points for k.

    >>> g = torch.Generator().manual_seed(0)
    >>> float(neighbour_mixing(torch.randn(40, 3, generator=g), torch.randn(60, 3, generator=g) + 9))
    0.0
    """
    a, b = check_pair(a, b)
    n = min(len(a), len(b))
    if not 1 <= k < 2 * n - 1:
        raise InputError(
            f"k: expected 1 to {2 * n - 2} neighbours for sets of {len(a)} and {len(b)} points, received {k}"
        )
    if draws < 1:
        raise InputError(f"draws: expected at least 1, received {draws}")
    points = torch.cat([a, b])
    is_b = torch.arange(len(points)) >= len(a)
    distances = torch.cdist(points, points, compute_mode="donot_use_mm_for_euclid_dist").fill_diagonal_(float("inf"))
    stream = generator(seed, "neighbour-mixing")
    total, count = torch.zeros(len(points), dtype=torch.float64), torch.zeros(len(points), dtype=torch.float64)
    for _ in range(draws if len(a) != len(b) else 1):
        chosen = torch.cat(
            [torch.randperm(len(a), generator=stream)[:n], len(a) + torch.randperm(len(b), generator=stream)[:n]]
        )
        # A stable sort of a random order breaks ties at random.
        chosen = chosen[torch.randperm(2 * n, generator=stream)]
        nearest = distances[chosen][:, chosen].sort(dim=1, stable=True).indices[:, :k]
        foreign = is_b[chosen][nearest] != is_b[chosen].unsqueeze(1)
        total[chosen] += foreign.double().mean(1)
        count[chosen] += 1
    scores = total / count * (2 * n - 1) / n  # 0/0 = NaN: never drawn
    # Each set weighs the same, as in the balanced union itself.
    scores_a, scores_b = scores[: len(a)], scores[len(a) :]
    return Mixing(float((scores_a.nanmean() + scores_b.nanmean()) / 2), scores_a, scores_b)
