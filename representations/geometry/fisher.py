"""Fisher ratio: the distance between classes relative to their width."""

import torch
from torch import Tensor

from ..checks import check_features, check_labels, check_masks

__all__ = ["fisher_ratio", "fisher_ratio_masked", "scatter"]


def scatter(x: Tensor, labels: Tensor) -> tuple[Tensor, Tensor, Tensor]:
    """Class means minus the overall mean ``(C, d)``, rows minus their class mean ``(n, d)``, class sizes ``(C,)``."""
    x = check_features(x)
    _, codes = check_labels(labels, len(x))
    sizes = torch.bincount(codes)
    means = torch.zeros(len(sizes), x.shape[1], dtype=x.dtype).index_add_(0, codes, x) / sizes.unsqueeze(1)
    return means - x.mean(0), x - means[codes], sizes


def fisher_ratio(x: Tensor, labels: Tensor) -> float:
    """Between-class over within-class variance: tr S_B / tr S_W of Fisher's scatter matrices.

    S_B = Σ_c n_c (μ_c − μ)(μ_c − μ)ᵀ, S_W = Σ_i (x_i − μ_c(i))(x_i − μ_c(i))ᵀ. The ratio of traces exists for n < d,
    where S_W has no inverse.

    Args:
        x: ``(n, d)``. labels: int64 ``(n,)``, at least two classes.

    Returns:
        A value in [0, ∞]: infinite where every class is one point, NaN where all points coincide. For random labels it
        is about (C − 1)/(n − C), not 0. Invariant to rotation, scale and shift. Cost O(nd).

    >>> fisher_ratio(torch.tensor([[0.0], [2.0], [10.0], [12.0]]), torch.tensor([0, 0, 1, 1]))
    25.0
    """
    return float(fisher_ratio_masked(x, labels, torch.ones(1, len(x), dtype=torch.bool)))


def fisher_ratio_masked(x: Tensor, labels: Tensor, masks: Tensor) -> Tensor:
    """:func:`fisher_ratio` of subsets of the images.

    Args:
        masks: bool ``(B, n)``, the images of each subset.

    Returns:
        float64 ``(B,)``; NaN where a subset holds fewer than two classes. Cost O(Bnd).
    """
    means, within, sizes = scatter(x, labels)
    # About the means of all images: sums of squares about a subset's own means then lose no digits.
    codes = check_labels(labels, len(within))[1]
    check_masks(masks, len(within))
    w = masks.to(within.dtype)
    squares = w @ within.square().sum(1)  # Σ‖x − μ_c‖² of each subset
    member = torch.nn.functional.one_hot(codes, len(sizes)).to(within.dtype)
    counts = w @ member  # (B, C)
    moved = torch.stack([(w * column) @ within for column in member.T], dim=1)  # (B, C, d)
    offsets = moved / counts.clamp(min=1).unsqueeze(2)
    inside = squares - (counts * offsets.square().sum(2)).sum(1)
    centres = means + offsets
    overall = (counts.unsqueeze(2) * centres).sum(1, keepdim=True) / counts.sum(1).clamp(min=1).view(-1, 1, 1)
    between = (counts * (centres - overall).square().sum(2)).sum(1)
    # Of equal points only the rounding of their mean remains.
    rounding = (1e-14 * x.double().abs().max()) ** 2 * x.numel()
    spread = inside > (1e-13 * squares).clamp(min=float(rounding))
    value = torch.where(spread, between / inside, torch.inf)
    valid = ((between > rounding) | spread) & ((counts > 0).sum(1) >= 2)
    return torch.where(valid, value, torch.nan)
