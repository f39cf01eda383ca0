"""NT-Xent (SimCLR: Chen et al., ICML 2020)."""

import torch
from torch import Tensor, nn
from torch.nn.functional import cross_entropy, normalize

from ._loss import Loss
from ._mlp import mlp

__all__ = ["SimCLR", "nt_xent"]


def nt_xent(first: Tensor, second: Tensor, temperature: float) -> Tensor:
    """Normalised temperature-scaled cross-entropy (eq. 1), one value an image: the mean of its two anchors.

    Args:
        first, second: projections of the two views ``(n, d)``, normalised here. Negatives are the other 2(n − 1) views.

    Returns:
        float32 ``(n,)``, ≥ 0.
    """
    n = len(first)
    with torch.autocast(first.device.type, enabled=False):  # logits in float32: autocast would round this product
        z = normalize(torch.cat([first, second]).float(), dim=1)
        logits = (z @ z.T / temperature).fill_diagonal_(float("-inf"))
        partner = torch.arange(2 * n, device=z.device).roll(n)
        return cross_entropy(logits, partner, reduction="none").view(2, n).mean(0)


class SimCLR(nn.Module):
    """Two views an image, no labels."""

    def __init__(self, dim: int, hidden: int, out: int, temperature: float, *, norm: bool = True) -> None:
        super().__init__()
        self.projector = mlp(dim, hidden, out, norm=norm)
        self.temperature = temperature

    def forward(self, views: Tensor, labels: Tensor) -> Loss:
        """views: features ``(2, n, d)``; labels are ignored."""
        # Both views in one call: the projector's BatchNorm gets the same images as the encoder's.
        first, second = self.projector(views.flatten(0, 1)).chunk(2)
        per_sample = nt_xent(first, second, self.temperature)
        return Loss(per_sample.mean(), per_sample.detach())

    def project(self, features: Tensor) -> Tensor:
        return self.projector(features)
