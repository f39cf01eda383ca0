"""Representational similarity analysis: do two representations find the same images unlike each other?"""

import torch
from torch import Tensor

from ..errors import InputError
from ..graph import pairwise_distances
from ._pairs import check_two

__all__ = ["rsa"]


def rsa(x: Tensor, y: Tensor, *, dissimilarity: str = "euclidean", correlation: str = "spearman") -> float:
    """Correlation of the two dissimilarity matrices over all pairs of images (Kriegeskorte, Mur and Bandettini, Front.
    Syst. Neurosci. 2, 2008).

    Args:
        x: ``(n, d)``. y: ``(n, e)``, row i of both from one image, n ≥ 4.
        dissimilarity: ``"euclidean"``, or ``"correlation"``: one less the correlation of two rows over the features.
        correlation: ``"spearman"`` (ranks, ties averaged) or ``"pearson"``.

    Returns:
        A similarity in [−1, 1]; NaN if all dissimilarities of either are equal. For independent data it is about 0, but
        not with an sd of 1/√(pairs): pairs share images. Euclidean: invariant to rotation, scale and shift of either.
        Cost O(n²(d + e) + n² log n), memory O(n²).

    >>> x = torch.randn(20, 4, generator=torch.Generator().manual_seed(0))
    >>> round(rsa(x, 3 * x.flip(1) + 1), 6)
    1.0
    """
    x, y = check_two(x, y, rows=4)
    if correlation not in ("spearman", "pearson"):
        raise InputError(f"correlation: expected 'spearman' or 'pearson', received {correlation!r}")
    upper = torch.triu_indices(len(x), len(x), 1)
    a, b = (_dissimilarities(z, dissimilarity)[upper[0], upper[1]] for z in (x, y))
    # Equal up to rounding is equal: ranks of rounding errors would be noise.
    if any(float(z.max() - z.min()) <= 1e-12 * float(z.abs().max()) for z in (a, b)):
        return float("nan")
    if correlation == "spearman":
        a, b = _ranks(a), _ranks(b)
    a, b = a - a.mean(), b - b.mean()
    return float((a / a.norm()) @ (b / b.norm()))


def _dissimilarities(x: Tensor, kind: str) -> Tensor:
    if kind == "euclidean":
        return pairwise_distances(x)
    if kind != "correlation":
        raise InputError(f"dissimilarity: expected 'euclidean' or 'correlation', received {kind!r}")
    centred = x - x.mean(1, keepdim=True)
    norms = centred.norm(dim=1, keepdim=True)
    if not norms.min() > 0:
        raise InputError("x, y: expected rows that vary for the correlation dissimilarity, received a constant row")
    unit = centred / norms
    return 1 - unit @ unit.T


def _ranks(values: Tensor) -> Tensor:
    """Ranks from 0, the mean rank for ties."""
    _, inverse, counts = values.unique(return_inverse=True, return_counts=True)
    ends = counts.cumsum(0).double()
    return (ends - (counts + 1) / 2)[inverse]
