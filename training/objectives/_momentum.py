"""A slow copy of the encoder and its projector: what BYOL and MoCo compare with."""

import copy
from collections.abc import Iterable

import torch
from torch import Tensor, nn

__all__ = ["Slow"]


class Slow(nn.Module):
    """Exponential moving average of modules applied one after the other; its weights get no gradient.

    It is in training mode when they are, with BatchNorm statistics of its own batches. Its state (weights and buffers)
    is part of the objective's, so that a run continues to the same bits.
    """

    def __init__(self, *modules: nn.Module) -> None:
        super().__init__()
        self.copies = nn.ModuleList(copy.deepcopy(module) for module in modules).requires_grad_(False)

    @torch.no_grad()
    def forward(self, x: Tensor) -> Tensor:
        for module in self.copies:
            x = module(x)
        return x

    @torch.no_grad()
    def follow(self, modules: Iterable[nn.Module], momentum: float) -> None:
        """slow ← momentum·slow + (1 − momentum)·fast, for weights; BatchNorm buffers are its own."""
        for slow, fast in zip(self.copies, modules, strict=True):
            for mine, theirs in zip(slow.parameters(), fast.parameters(), strict=True):
                mine.lerp_(theirs, 1 - momentum)
