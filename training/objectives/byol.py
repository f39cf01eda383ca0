"""BYOL (Grill et al., NeurIPS 2020)."""

import math
from typing import ClassVar

import torch
from torch import Tensor, nn
from torch.nn.functional import normalize

from ._loss import Loss
from ._mlp import mlp
from ._momentum import Slow

__all__ = ["BYOL", "regression_loss"]


def regression_loss(predicted: Tensor, target: Tensor) -> Tensor:
    """‖p̄ − z̄‖² = 2 − 2·cos(p, z), eq. 2 of BYOL; half of it, up to the constant, is −cos, eq. 1 of SimSiam.

    Args:
        predicted, target: ``(n, d)``, normalised here; no gradient goes into ``target``.

    Returns:
        float32 ``(n,)`` in [0, 4].
    """
    with torch.autocast(predicted.device.type, enabled=False):
        p, z = normalize(predicted.float(), dim=1), normalize(target.detach().float(), dim=1)
        return 2 - 2 * (p * z).sum(1)


class BYOL(nn.Module):
    """Two views an image, no labels, no negatives.

    A predictor on the projection of one view predicts the projection of the other view by a slow copy of encoder and
    projector. The momentum of the copy rises along a cosine from ``momentum`` to 1 over the run, as in the paper. The
    loss of an image is the mean of both directions (in the paper their sum).
    """

    large_state: ClassVar[frozenset[str]] = frozenset({"slow"})

    def __init__(self, encoder: nn.Module, dim: int, hidden: int, out: int, momentum: float) -> None:
        super().__init__()
        self.projector, self.predictor = mlp(dim, hidden, out), mlp(out, hidden, out)
        self.slow = Slow(encoder, self.projector)
        self.momentum = momentum

    def forward(self, views: Tensor, labels: Tensor, slow_views: Tensor) -> Loss:
        """views: features ``(2, n, d)``; labels are ignored; slow_views: those of the slow encoder, ``(2, n, d)``."""
        first, second = self.predictor(self.projector(views.flatten(0, 1))).chunk(2)
        with torch.no_grad():
            slow_first, slow_second = self.slow.projector(slow_views.flatten(0, 1)).chunk(2)
        per_sample = (regression_loss(first, slow_second) + regression_loss(second, slow_first)) / 2
        return Loss(per_sample.mean(), per_sample.detach())

    def project(self, features: Tensor) -> Tensor:
        return self.projector(features)

    def slow_encoder(self) -> nn.Module:
        return self.slow.encoder

    def follow(self, encoder: nn.Module, done: float) -> None:
        momentum = 1 - (1 - self.momentum) * (math.cos(math.pi * done) + 1) / 2
        self.slow.follow(encoder, self.projector, momentum)
