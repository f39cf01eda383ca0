"""A slow copy of the encoder and the projector: BYOL and MoCo compare with its projections."""

import copy

import torch
from torch import nn

__all__ = ["Slow"]


class Slow(nn.Module):
    """Exponential moving average of an encoder and a projector; its weights get no gradient.

    It is in training mode when they are, with its own BatchNorm statistics. Its state (weights and buffers) is part of
    the objective's, so that a run can be continued to the same bits.
    """

    def __init__(self, encoder: nn.Module, projector: nn.Module) -> None:
        super().__init__()
        self.encoder = copy.deepcopy(encoder).requires_grad_(False)
        self.projector = copy.deepcopy(projector).requires_grad_(False)

    @torch.no_grad()
    def follow(self, encoder: nn.Module, projector: nn.Module, momentum: float) -> None:
        """slow ← momentum·slow + (1 − momentum)·fast, for weights; BatchNorm buffers are not copied."""
        for slow, fast in ((self.encoder, encoder), (self.projector, projector)):
            for mine, theirs in zip(slow.parameters(), fast.parameters(), strict=True):
                mine.lerp_(theirs, 1 - momentum)
