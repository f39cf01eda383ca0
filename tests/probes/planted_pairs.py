"""Block gradients of two tasks at a planted cosine, for the tests of their alignment."""

from functools import cache
from math import sqrt

import torch

from tests.factories import randn


def gram(g: torch.Tensor, h: torch.Tensor) -> torch.Tensor:
    stacked = torch.cat([g, h])
    return stacked @ stacked.T


@cache
def orthonormal(seed: int, p: int, rank: int) -> torch.Tensor:
    """Rows of unit length at right angles, ``(rank, p)``."""
    return torch.linalg.qr(randn(seed, p, rank)).Q.T


def directions(p: int, cosine: float) -> tuple[torch.Tensor, torch.Tensor]:
    """Two unit vectors at the given cosine."""
    a, b = orthonormal(0, p, 2)
    return a, cosine * a + sqrt(1 - cosine**2) * b


def planted(seed: int, cosine: float, *, blocks: int = 200, noise: float = 7.0, rank: int = 30, shared: bool = False):
    """Block gradients of two tasks: a mean of length 1 plus low-rank noise of length ``noise`` a block, the same noise
    in both tasks if ``shared``."""
    mean_g, mean_h = directions(100, cosine)
    basis = orthonormal(1, 100, rank)
    first = noise / sqrt(rank) * randn(10 + seed, blocks, rank) @ basis
    second = first if shared else noise / sqrt(rank) * randn(50_000 + seed, blocks, rank) @ basis
    return mean_g + first, mean_h + second
