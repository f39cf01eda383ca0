"""MoCo v2 (Chen et al., arXiv 2003.04297)."""

from typing import ClassVar

import torch
from torch import Tensor, nn
from torch.nn.functional import cross_entropy, normalize

from ._loss import Loss
from ._mlp import mlp
from ._momentum import Slow

__all__ = ["MoCo", "info_nce"]


def info_nce(query: Tensor, key: Tensor, queue: Tensor, temperature: float) -> Tensor:
    """Cross-entropy of finding a query's key among those of other images in the queue (MoCo, CVPR 2020, eq. 1).

    Args:
        query, key: ``(n, d)``, normalised here. queue: ``(K, d)``, normalised.

    Returns:
        float32 ``(n,)``, ≥ 0.
    """
    with torch.autocast(query.device.type, enabled=False):
        q, k = normalize(query.float(), dim=1), normalize(key.detach().float(), dim=1)
        logits = torch.cat([(q * k).sum(1, keepdim=True), q @ queue.float().T], dim=1) / temperature
        return cross_entropy(logits, torch.zeros(len(q), dtype=torch.int64, device=q.device), reduction="none")


class MoCo(nn.Module):
    """Two views an image, no labels; negatives are the keys of earlier images, by a slow copy of encoder and projector.

    Symmetric as in the authors' CIFAR notebook: each view is a query once, and the keys of both enter the queue. (The
    paper has one direction.) On one device queries and keys share the BatchNorm of the batch, as there.
    """

    large_state: ClassVar[frozenset[str]] = frozenset({"slow", "queue", "place"})

    queue: Tensor
    place: Tensor

    def __init__(
        self, encoder: nn.Module, dim: int, hidden: int, out: int, temperature: float, momentum: float, keys: int
    ) -> None:
        super().__init__()
        self.projector = mlp(dim, hidden, out)
        self.slow = Slow(encoder, self.projector)
        self.temperature, self.momentum = temperature, momentum
        self.register_buffer("queue", normalize(torch.randn(keys, out), dim=1))
        self.register_buffer("place", torch.zeros((), dtype=torch.int64))

    def forward(self, views: Tensor, labels: Tensor, slow_views: Tensor) -> Loss:
        """views: features ``(2, n, d)``; labels are ignored; slow_views: those of the slow encoder, ``(2, n, d)``.

        The slow views are the keys. In training mode they enter the queue and replace the oldest.
        """
        first, second = self.projector(views.flatten(0, 1)).chunk(2)
        with torch.no_grad():
            key_first, key_second = self.slow.projector(slow_views.flatten(0, 1)).chunk(2)
        queue = self.queue.clone()  # the backward pass needs the replaced keys
        per_sample = (
            info_nce(first, key_second, queue, self.temperature) + info_nce(second, key_first, queue, self.temperature)
        ) / 2
        if self.training:
            self._push(torch.cat([key_first, key_second]))
        return Loss(per_sample.mean(), per_sample.detach())

    @torch.no_grad()
    def _push(self, keys: Tensor) -> None:
        keys = normalize(keys.float(), dim=1)[-len(self.queue) :]
        at = (self.place + torch.arange(len(keys), device=keys.device)) % len(self.queue)
        self.queue[at] = keys
        self.place.copy_((self.place + len(keys)) % len(self.queue))

    def project(self, features: Tensor) -> Tensor:
        return self.projector(features)

    def slow_encoder(self) -> nn.Module:
        return self.slow.encoder

    def follow(self, encoder: nn.Module, done: float) -> None:
        self.slow.follow(encoder, self.projector, self.momentum)
