"""Fisher ratio: how far classes are apart, against how wide they are."""

import torch
from torch import Tensor

from ..checks import check_features, check_labels

__all__ = ["fisher_ratio", "scatter"]


def scatter(x: Tensor, labels: Tensor) -> tuple[Tensor, Tensor, Tensor]:
    """Class means ``(C, d)`` less the overall mean, rows less their class mean ``(n, d)``, and class sizes ``(C,)``."""
    x = check_features(x)
    _, codes = check_labels(labels, len(x))
    sizes = torch.bincount(codes)
    means = torch.zeros(len(sizes), x.shape[1], dtype=x.dtype).index_add_(0, codes, x) / sizes.unsqueeze(1)
    return means - x.mean(0), x - means[codes], sizes


def fisher_ratio(x: Tensor, labels: Tensor) -> float:
    """Between-class over within-class variance: tr S_B / tr S_W of Fisher's scatter matrices.

    S_B = Σ_c n_c (μ_c − μ)(μ_c − μ)ᵀ, S_W = Σ_i (x_i − μ_c(i))(x_i − μ_c(i))ᵀ. The ratio of traces exists for n < d, where
    S_W has no inverse.

    Args:
        x: ``(n, d)``. labels: int64 ``(n,)``, at least two classes.

    Returns:
        A value in [0, ∞], infinity where every class is one point; NaN where all points coincide. For labels without
        meaning it is about (C − 1)/(n − C), not 0. Cost O(nd).

    >>> fisher_ratio(torch.tensor([[0.0], [2.0], [10.0], [12.0]]), torch.tensor([0, 0, 1, 1]))
    25.0
    """
    means, within, sizes = scatter(x, labels)
    between, inside = (sizes.unsqueeze(1) * means.square()).sum(), within.square().sum()
    # What is left of equal points is the rounding of their mean.
    rounding = (1e-14 * x.double().abs().max()) ** 2 * x.numel()
    if between <= rounding and inside <= rounding:
        return float("nan")
    return float(between / inside) if inside > rounding else float("inf")
