"""MoCo v2 (Chen et al., arXiv 2003.04297)."""

import torch
from torch import Tensor, nn
from torch.nn.functional import cross_entropy, normalize

from ._loss import Loss
from ._mlp import mlp
from ._momentum import Slow

__all__ = ["MoCo", "info_nce"]


def info_nce(query: Tensor, key: Tensor, queue: Tensor, temperature: float) -> Tensor:
    """Cross-entropy of finding the key of a query among the keys of other images in the queue: eq. 1 of MoCo (He et
    al., CVPR 2020).

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

    Symmetric: each view is a query once, and the keys of both enter the queue (as in the authors' CIFAR notebook; the
    paper asks in one direction). On one device the batch's BatchNorm is shared by queries and keys, as there.
    """

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
        """views: features ``(2, n, d)``; labels are not read; slow_views: those of ``slow.encoder``, ``(2, n, d)``,
        which make the keys. In training mode these enter the queue and push the oldest out."""
        first, second = self.projector(views.flatten(0, 1)).chunk(2)
        with torch.no_grad():
            key_first, key_second = self.slow.projector(slow_views.flatten(0, 1)).chunk(2)
        queue = self.queue.clone()  # the backward pass needs the keys that are pushed out
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

    def follow(self, encoder: nn.Module, done: float) -> None:
        """After each step; ``done``: share of all steps (the momentum is constant)."""
        self.slow.follow(encoder, self.projector, self.momentum)
