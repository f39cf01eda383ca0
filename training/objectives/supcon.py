"""Supervised contrastive loss (SupCon: Khosla et al., NeurIPS 2020)."""

import torch
from torch import Tensor, nn
from torch.nn.functional import normalize

from ._loss import Loss
from ._mlp import mlp

__all__ = ["SupCon", "supcon_loss"]


def supcon_loss(first: Tensor, second: Tensor, labels: Tensor, temperature: float) -> Tensor:
    """L_out (eq. 2 of the paper) without its base-temperature factor; one value an image: the mean of its two anchors.

    All views of the anchor's class are positives, the other view of the same image included.

    Args:
        first, second: projections ``(n, d)``, normalised here. labels: int64 ``(n,)``.

    Returns:
        float32 ``(n,)``. With all labels different this is NT-Xent.
    """
    n = len(first)
    own = torch.eye(2 * n, dtype=torch.bool, device=first.device)
    both = labels.repeat(2)
    positive = (both.unsqueeze(0) == both.unsqueeze(1)) & ~own
    with torch.autocast(first.device.type, enabled=False):  # logits in float32: autocast would round this product
        z = normalize(torch.cat([first, second]).float(), dim=1)
        log_p = (z @ z.T / temperature).masked_fill(own, float("-inf")).log_softmax(1)
        per_anchor = -log_p.masked_fill(~positive, 0).sum(1) / positive.sum(1)
        return per_anchor.view(2, n).mean(0)


class SupCon(nn.Module):
    """Two views an image, and its label."""

    def __init__(self, dim: int, hidden: int, out: int, temperature: float) -> None:
        super().__init__()
        self.projector = mlp(dim, hidden, out)
        self.temperature = temperature

    def forward(self, views: Tensor, labels: Tensor) -> Loss:
        """views: features ``(2, n, d)``; labels: int64 ``(n,)``."""
        first, second = self.projector(views.flatten(0, 1)).chunk(2)
        per_sample = supcon_loss(first, second, labels, self.temperature)
        return Loss(per_sample.mean(), per_sample.detach())

    def project(self, features: Tensor) -> Tensor:
        return self.projector(features)
