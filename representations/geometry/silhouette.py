"""Silhouette of one set of points against another."""

import torch
from torch import Tensor

from ..errors import InputError
from ._pairs import check_pair

__all__ = ["silhouette", "silhouette_from_distances"]


def silhouette(a: Tensor, b: Tensor) -> float:
    """Mean silhouette of two sets, each set weighing the same: 0 mixed, 1 apart, negative when a set is split.

    For each point s = (β − α)/max(α, β): α its mean distance to the rest of its own set, β to the other set (Rousseeuw,
    J. Comput. Appl. Math. 20, 1987). Equal weights keep a set of thousands from drowning one of sixty; for sets of equal
    size it is scikit-learn's ``silhouette_score``. Coincident points (α = β = 0) score 0.

    Args:
        a: ``(n, d)``. b: ``(m, d)``. n, m ≥ 2.

    Returns:
        A value in [−1, 1]. Cost O((n + m)² d).

    >>> silhouette(torch.tensor([[0.0], [0.0]]), torch.tensor([[1.0], [1.0]]))
    1.0
    """
    a, b = check_pair(a, b)
    points = torch.cat([a, b])
    distances = torch.cdist(points, points, compute_mode="donot_use_mm_for_euclid_dist")
    return silhouette_from_distances(distances, torch.arange(len(points)) < len(a))


def silhouette_from_distances(distances: Tensor, in_a: Tensor) -> float:
    """The same from a distance matrix ``(n, n)`` and a mask ``(n,)`` of the first set."""
    sizes = torch.stack([in_a.sum(), (~in_a).sum()])
    if sizes.min() < 2:
        raise InputError(f"a, b: expected at least 2 points in each, received {int(sizes[0])} and {int(sizes[1])}")
    sums = distances @ torch.stack([in_a, ~in_a], dim=1).to(distances.dtype)  # (n, 2): summed distance to a, to b
    own_set = (~in_a).long().unsqueeze(1)
    own = sums.gather(1, own_set).squeeze(1) / (sizes[own_set.squeeze(1)] - 1)
    other = sums.gather(1, 1 - own_set).squeeze(1) / sizes[1 - own_set.squeeze(1)]
    larger = torch.maximum(own, other)
    scores = torch.where(larger > 0, (other - own) / larger, torch.zeros_like(larger))
    return float((scores[in_a].mean() + scores[~in_a].mean()) / 2)
