"""Barlow Twins (Zbontar et al., ICML 2021)."""

import torch
from torch import Tensor, nn

from ._loss import Loss
from ._mlp import mlp

__all__ = ["BarlowTwins", "barlow_loss"]


def barlow_loss(first: Tensor, second: Tensor, weight: float) -> Tensor:
    """Σ_i (1 − C_ii)² + λ Σ_{i≠j} C_ij², C the cross-correlation of the two views' dimensions over the batch: eq. 1.

    Args:
        first, second: projections ``(n, d)``, n ≥ 2, standardised here over the batch (sd over n, as BatchNorm's).
        weight: λ.

    Returns:
        A float32 scalar of the whole batch: single images have no loss.
    """
    with torch.autocast(first.device.type, enabled=False):
        a, b = ((x - x.mean(0)) / (x.var(0, correction=0) + 1e-5).sqrt() for x in (first.float(), second.float()))
        correlation = a.T @ b / len(a)
        own = correlation.diagonal()
        return (1 - own).square().sum() + weight * (correlation.square().sum() - own.square().sum())


class BarlowTwins(nn.Module):
    """Two views an image, no labels, no negatives.

    The loss is small when each dimension of the projections agrees between views and is uncorrelated with the others.
    The total is divided by the number of dimensions, so that the learning rate does not depend on it. (The paper scales
    by about .024 for its 8,192.)
    """

    def __init__(self, dim: int, hidden: int, out: int, weight: float) -> None:
        super().__init__()
        self.projector = mlp(dim, hidden, out)
        self.weight = weight

    def forward(self, views: Tensor, labels: Tensor) -> Loss:
        """views: features ``(2, n, d)``; labels are ignored."""
        first, second = self.projector(views.flatten(0, 1)).chunk(2)
        return Loss(barlow_loss(first, second, self.weight) / first.shape[1], None)

    def project(self, features: Tensor) -> Tensor:
        return self.projector(features)
