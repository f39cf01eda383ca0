"""The smallest trigger that does something to a model: what Neural Cleanse and DECREE both look for."""

from collections.abc import Callable

import torch
from torch import Tensor

__all__ = ["smallest_trigger"]


def smallest_trigger(
    images: Tensor,
    judge: Callable[[Tensor], tuple[Tensor, bool]],
    stream: torch.Generator,
    *,
    steps: int,
    lr: float = 0.1,
    batch: int = 64,
    weight: float = 1e-3,
) -> tuple[Tensor, Tensor]:
    """A mask m ``(1, H, W)`` and a pattern k ``(3, H, W)`` in [0, 1], for (1 − m)·x + m·k.

    Minimises ``judge``'s loss + λ‖m‖₁ by Adam over the logits of m and k, λ being raised by half after each batch for
    which ``judge`` says that they do it, and lowered as much where not, from ``weight``. ``steps`` are always taken,
    and the smallest mask that did it on a batch is kept (the last one if none did).

    Args:
        images: uint8 ``(n, 3, H, W)``. judge: float images in [0, 1] with the trigger → loss, and whether it does it.
    """
    shape = images.shape[1:]
    pattern = torch.randn(shape, generator=stream).to(images.device).requires_grad_()
    mask = torch.full((1, *shape[1:]), -2.0, device=pattern.device).requires_grad_()
    optimiser = torch.optim.Adam([mask, pattern], lr=lr, betas=(0.5, 0.9))
    smallest, kept = float("inf"), None
    for _ in range(steps):
        index = torch.randint(len(images), (min(batch, len(images)),), generator=stream)
        x, m, k = images[index].float() / 255, mask.sigmoid(), pattern.sigmoid()
        loss, does = judge((1 - m) * x + m * k)
        size = m.sum()
        if does and float(size.detach()) < smallest:
            smallest, kept = float(size.detach()), (m.detach().clone(), k.detach().clone())
        total = loss + weight * size
        weight = weight * 1.5 if does else weight / 1.5
        mask.grad, pattern.grad = torch.autograd.grad(total, [mask, pattern])  # and of no weight of the model
        optimiser.step()
    return kept or (mask.detach().sigmoid(), pattern.detach().sigmoid())
