"""Do two representations have the same neighbours? (Huh et al., "The Platonic Representation Hypothesis", 2024)"""

import torch
from torch import Tensor

from ..checks import check_same_images
from ..errors import InputError
from ..graph import NeighbourGraph, neighbour_graph
from ._spread import spread

__all__ = ["cknna", "mutual_knn", "mutual_knn_of_graphs"]


def mutual_knn(x: Tensor, y: Tensor, *, k: int = 10, metric: str = "euclidean") -> float:
    """Mean share of an image's k nearest neighbours that are the same in both representations.

    Args:
        x: ``(n, d)``. y: ``(n, e)``, row i of both from one image, n > k.
        metric: ``"euclidean"`` or ``"cosine"`` (theirs, on normalised features).

    Returns:
        A similarity in [0, 1]; NaN if either is constant. Independent representations give k/(n − 1) on average, so
        compare at equal n and k. Ties are in the order of the images in both and count as agreement: many duplicates in
        both raise the value. Invariant to rotation and scale of either, with the Euclidean metric also to shift. Cost
        O(n²(d + e)).

    >>> x = torch.randn(30, 4, generator=torch.Generator().manual_seed(0))
    >>> mutual_knn(x, 2 * x.flip(1))
    1.0
    """
    x, y = check_same_images(x, y, rows=k + 1)
    if not all(spread(z)[1] for z in (x, y)):
        return float("nan")
    graphs = (neighbour_graph(z, k, metric=metric) for z in (x, y))
    return float(mutual_knn_of_graphs(*graphs, k=k).mean())


def mutual_knn_of_graphs(first: NeighbourGraph, second: NeighbourGraph, *, k: int = 10) -> Tensor:
    """:func:`mutual_knn` from two graphs of the same images, as scores ``(n,)``, one an image."""
    a, b = first.indices, second.indices
    if len(a) != len(b) or not 1 <= k <= min(a.shape[1], b.shape[1]):
        raise InputError(f"graphs: expected two of one size, {k} deep, received {tuple(a.shape)} and {tuple(b.shape)}")
    both = torch.cat([a[:, :k], b[:, :k]], dim=1).sort(dim=1).values
    return (both[:, 1:] == both[:, :-1]).double().sum(1) / k  # an index appears at most once in each half


def cknna(x: Tensor, y: Tensor, *, k: int = 10) -> float:
    """CKNNA (their appendix): CKA restricted to pairs of images that are neighbours in both representations.

    The value is Align(K, L)/√(Align(K, K)·Align(L, L)), with Align(K, L) = Σ α_ij k̄_ij l̄_ij. k̄ and l̄ are the linear
    kernels minus their row means. α_ij = 1 where j ≠ i is among the k nearest neighbours of i, by the kernel, in both.
    In the self-terms α is the neighbourhood of the one representation.

    This is the paper's formula. Their code puts the kernels, 0 off α, into debiased HSIC instead.

    Args:
        x: ``(n, d)``. y: ``(n, e)``, row i of both from one image, n > k. Normalise the rows first, as they do, where
            lengths differ: otherwise long rows are neighbours of all others.

    Returns:
        A similarity in [−1, 1], 1 for equal representations; NaN if either is constant. Independent representations
        give about k/(n − 1), since the kernels of neighbours are above the mean in both. Invariant to rotation and
        scale of either, not to shift. k = n − 1 takes all pairs, without debiasing. Cost O(n²(d + e)), memory O(n²).

    >>> x = torch.randn(30, 4, generator=torch.Generator().manual_seed(0))
    >>> round(cknna(x, 2 * x.flip(1)), 6)
    1.0
    """
    x, y = check_same_images(x, y, rows=k + 1)
    if k < 1:
        raise InputError(f"k: expected at least 1 neighbour, received {k}")
    if not all(spread(z)[1] for z in (x, y)):
        return float("nan")
    kernels, near = [], []
    for z in (x, y):
        z = z / z.abs().max()
        kernel = z @ z.T
        places = kernel.clone().fill_diagonal_(-torch.inf).topk(k, dim=1).indices
        near.append(torch.zeros(kernel.shape, dtype=torch.bool).scatter_(1, places, True))
        kernels.append(kernel - kernel.mean(1, keepdim=True))
    (a, b), (near_a, near_b) = kernels, near
    own = (a * a)[near_a].sum() * (b * b)[near_b].sum()
    return float((a * b)[near_a & near_b].sum() / own.sqrt()) if own > 0 else float("nan")
