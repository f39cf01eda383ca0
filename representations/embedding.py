"""Two-dimensional maps of features, for pictures only: distances in them are no evidence."""

import warnings

import torch
from torch import Tensor

from .errors import InputError
from .seeds import derive_seed

__all__ = ["pca", "umap"]


def pca(x: Tensor, dim: int = 2) -> Tensor:
    """Scores on the first principal components, ``(n, d)`` → ``(n, dim)``.

    Signs are chosen so that the largest loading of each component is positive.
    """
    if x.ndim != 2 or not 1 <= dim <= min(x.shape):
        raise InputError(f"dim: expected 1 to min(n, d) of {tuple(x.shape)}, received {dim}")
    centred = x.double() - x.double().mean(0)
    _, _, directions = torch.linalg.svd(centred, full_matrices=False)
    largest = directions.gather(1, directions.abs().argmax(1, keepdim=True))
    return centred @ (directions * largest.sign())[:dim].T


def umap(x: Tensor, *, neighbours: int = 15, min_dist: float = 0.1, seed: int = 0) -> Tensor:
    """UMAP coordinates ``(n, 2)`` by cosine distance, float64: McInnes, Healy and Melville, arXiv 1802.03426.

    The seed makes umap-learn run on one thread. The same features and versions give the same coordinates.
    """
    from umap import UMAP  # slow to import (numba) and not needed to train or measure

    if x.ndim != 2 or len(x) < 4:
        raise InputError(f"x: expected (n, d) with n ≥ 4, received {tuple(x.shape)}")
    stream = derive_seed(seed, "umap") % 2**32  # the largest seed that NumPy accepts
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # umap warns that a seed means one job, which is intended
        reducer = UMAP(n_neighbors=min(neighbours, len(x) - 1), min_dist=min_dist, metric="cosine", random_state=stream)
        # numba's OpenMP layer sets the thread count of the whole process, and later results depend on it to the bit.
        threads = torch.get_num_threads()
        try:
            points = reducer.fit_transform(x.double().numpy())
        finally:
            torch.set_num_threads(threads)
    return torch.as_tensor(points, dtype=torch.float64)
