"""Representational similarity analysis: are the same pairs of images dissimilar in both representations?"""

import torch
from torch import Tensor

from ..checks import check_features, check_masks, check_same_images
from ..errors import InputError
from ..graph import pairwise_distances

__all__ = ["dissimilarities", "rsa", "rsa_masked"]

# Dissimilarities that differ by less, relative to the largest, are equal: ranks of rounding errors would be noise.
# Where classes have collapsed to points, that would be most of the ranks.
EQUAL = 1e-11


def rsa(x: Tensor, y: Tensor, *, dissimilarity: str = "euclidean", correlation: str = "spearman") -> float:
    """Correlation of the two dissimilarity matrices over all pairs of images.

    Kriegeskorte, Mur and Bandettini, Front. Syst. Neurosci. 2, 2008.

    Args:
        x: ``(n, d)``. y: ``(n, e)``, row i of both from one image, n ≥ 4.
        dissimilarity: ``"euclidean"``, or ``"correlation"``: 1 minus the correlation of two rows over the features.
        correlation: ``"spearman"`` (ranks, ties averaged) or ``"pearson"``.

    Returns:
        A similarity in [−1, 1]; NaN if all dissimilarities of either are equal, up to rounding. For independent data it
        is about 0, but its sd is not 1/√(pairs): pairs share images. Euclidean: invariant to rotation, scale and shift
        of either. Cost O(n²(d + e) + n² log n), memory O(n²).

    Raises:
        InputError: correlation dissimilarity of an image whose features are all equal, which has none.

    >>> x = torch.randn(20, 4, generator=torch.Generator().manual_seed(0))
    >>> round(rsa(x, 3 * x.flip(1) + 1), 6)
    1.0
    """
    x, y = check_same_images(x, y, rows=4)
    a, b = dissimilarities(x, dissimilarity), dissimilarities(y, dissimilarity)
    return float(rsa_masked(a, b, torch.ones(1, len(x), dtype=torch.bool), correlation=correlation))


def rsa_masked(a: Tensor, b: Tensor, masks: Tensor, *, correlation: str = "spearman") -> Tensor:
    """:func:`rsa` of subsets of the images, from dissimilarity matrices ``(n, n)`` computed once.

    Args:
        masks: bool ``(B, n)``, the images of each subset.

    Returns:
        float64 ``(B,)``; NaN for fewer than 4 images. Cost O(n² log n) a subset, O(n²) for ``"pearson"``.
    """
    if correlation not in ("spearman", "pearson"):
        raise InputError(f"correlation: expected 'spearman' or 'pearson', received {correlation!r}")
    check_masks(masks, len(a))
    return torch.stack([_agreement(a[mask][:, mask], b[mask][:, mask], correlation) for mask in masks])


def dissimilarities(x: Tensor, kind: str = "euclidean") -> Tensor:
    """Dissimilarity matrix ``(n, n)``, float64, ``"euclidean"`` or ``"correlation"``."""
    if kind == "euclidean":
        return pairwise_distances(x)
    if kind != "correlation":
        raise InputError(f"dissimilarity: expected 'euclidean' or 'correlation', received {kind!r}")
    x = check_features(x)
    centred = x - x.mean(1, keepdim=True)
    norms = centred.norm(dim=1, keepdim=True)
    if not (norms > 1e-14 * x.norm(dim=1, keepdim=True)).all():
        raise InputError("x, y: expected rows that vary for the correlation dissimilarity, received a constant row")
    unit = centred / norms
    return 1 - unit @ unit.T


def _agreement(a: Tensor, b: Tensor, correlation: str) -> Tensor:
    """Correlation over the pairs above the diagonal."""
    undefined = a.new_tensor(float("nan"))
    if len(a) < 4:
        return undefined
    row, column = torch.triu_indices(len(a), len(a), 1)
    a, b = a[row, column], b[row, column]
    if any(z.max() - z.min() <= EQUAL * z.abs().max() for z in (a, b)):
        return undefined
    if correlation == "spearman":
        a, b = _ranks(a), _ranks(b)
    a, b = a - a.mean(), b - b.mean()
    return ((a / a.norm()) @ (b / b.norm())).clamp(-1, 1)  # outside is rounding


def _ranks(values: Tensor) -> Tensor:
    """Ranks from 0, the mean rank for ties."""
    ordered, order = values.sort()
    apart = ordered.diff() > EQUAL * ordered.abs().max()
    group = torch.cat([apart.new_zeros(1), apart]).cumsum(0)
    counts = group.bincount()
    ranks = torch.empty_like(values)
    ranks[order] = (counts.cumsum(0) - (counts + 1) / 2).to(values.dtype)[group]
    return ranks
