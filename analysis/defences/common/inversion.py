"""Trigger inversion: the smallest trigger with a given effect on a model, for Neural Cleanse and DECREE."""

from collections.abc import Callable

import torch
from torch import Tensor

__all__ = ["smallest_trigger"]


def smallest_trigger(
    images: Tensor,
    effect: Callable[[Tensor], tuple[Tensor, bool]],
    stream: torch.Generator,
    *,
    steps: int,
    lr: float = 0.1,
    batch: int = 64,
    weight: float = 1e-3,
) -> tuple[Tensor, Tensor]:
    """Find a mask m ``(1, H, W)`` and a pattern k ``(3, H, W)`` in [0, 1] for the trigger (1 − m)·x + m·k.

    Adam minimises loss + λ‖m‖₁ over the logits of m and k. λ begins at ``weight``; it grows by half after each batch
    on which the trigger has the effect, and falls by the same factor otherwise. All ``steps`` are taken.

    Args:
        images: uint8 ``(n, 3, H, W)``.
        effect: float images in [0, 1] with the trigger → loss, and whether the trigger has its effect.

    Returns:
        The smallest mask that had the effect on a batch, with its pattern; the last ones if none had.
    """
    shape = images.shape[1:]
    pattern = torch.randn(shape, generator=stream).to(images.device).requires_grad_()
    mask = torch.full((1, *shape[1:]), -2.0, device=pattern.device).requires_grad_()
    optimiser = torch.optim.Adam([mask, pattern], lr=lr, betas=(0.5, 0.9))
    smallest, best = float("inf"), None
    for _ in range(steps):
        index = torch.randint(len(images), (min(batch, len(images)),), generator=stream)
        x, m, k = images[index].float() / 255, mask.sigmoid(), pattern.sigmoid()
        loss, succeeds = effect((1 - m) * x + m * k)
        size = m.sum()
        if succeeds and float(size.detach()) < smallest:
            smallest, best = float(size.detach()), (m.detach().clone(), k.detach().clone())
        total = loss + weight * size
        weight = weight * 1.5 if succeeds else weight / 1.5
        mask.grad, pattern.grad = torch.autograd.grad(total, [mask, pattern])  # not of the weights of the model
        optimiser.step()
    return best or (mask.detach().sigmoid(), pattern.detach().sigmoid())
