"""Neural Cleanse (Wang et al., IEEE S&P 2019): a backdoored class is reached from everywhere by a small change."""

from collections.abc import Callable
from dataclasses import dataclass

import torch
from torch import Tensor
from torch.nn.functional import cross_entropy

from ...representations.errors import InputError
from ...representations.seeds import generator
from .scan import MAD_OF_NORMAL

__all__ = ["ClassTriggers", "neural_cleanse"]

FLAGGED = 2.0
"""Their threshold on the anomaly index."""


@dataclass(frozen=True)
class ClassTriggers:
    """Of each class: ``norms``, L1 norm of the mask that sends images there ``(c,)``; ``reached``, share of images that
    it sends; ``index``, how far the norm lies *below* the median in units of 1.4826·MAD, 0 above it; ``flagged``, index
    above 2. ``masks`` ``(c, 1, H, W)`` and ``patterns`` ``(c, 3, H, W)``, in [0, 1]."""

    norms: Tensor
    reached: Tensor
    index: Tensor
    flagged: Tensor
    masks: Tensor
    patterns: Tensor


def neural_cleanse(
    clean: Tensor,
    classifier: Callable[[Tensor], Tensor],
    classes: int,
    *,
    steps: int = 300,
    lr: float = 0.1,
    batch: int = 64,
    success: float = 0.99,
    seed: int = 0,
) -> ClassTriggers:
    """For each class, the smallest mask m and a pattern k for which (1 − m)·x + m·k is classified there.

    Minimises cross-entropy + λ‖m‖₁ by Adam over the logits of m and k, λ being raised by half where more than
    ``success`` of a batch is sent and lowered where less, as theirs. Their patience and early stopping are not here:
    ``steps`` are always taken, and the smallest mask that reached ``success`` on a batch is kept (the last one if none
    did).

    Args:
        clean: uint8 ``(m, 3, H, W)``, known to be clean. classifier: float images in [0, 1] → logits ``(b, c)``,
            differentiable.
    """
    if len(clean) < 2 or classes < 3:
        raise InputError(f"clean, classes: expected at least 2 images and 3 classes, received {len(clean)}, {classes}")
    found = [_reach(clean, classifier, c, steps, lr, batch, success, seed) for c in range(classes)]
    masks, patterns = torch.stack([m for m, _, _ in found]), torch.stack([k for _, k, _ in found])
    reached = torch.tensor([share for _, _, share in found], dtype=torch.float64)
    norms = masks.double().sum((1, 2, 3))
    deviation = norms.median() - norms
    spread = MAD_OF_NORMAL * deviation.abs().median()
    index = deviation.clamp(min=0) / spread if spread > 0 else torch.zeros_like(norms)
    return ClassTriggers(norms, reached, index, index > FLAGGED, masks, patterns)


def _reach(
    clean: Tensor,
    classifier: Callable[[Tensor], Tensor],
    target: int,
    steps: int,
    lr: float,
    batch: int,
    success: float,
    seed: int,
) -> tuple[Tensor, Tensor, float]:
    """Mask, pattern, and the share of all images that they send to ``target``."""
    shape, stream = clean.shape[1:], generator(seed, "neural-cleanse", target)
    mask = torch.full((1, *shape[1:]), -2.0).requires_grad_()
    pattern = torch.randn(shape, generator=stream).requires_grad_()
    optimiser = torch.optim.Adam([mask, pattern], lr=lr, betas=(0.5, 0.9))
    weight, best, kept = 1e-3, float("inf"), None
    for _ in range(steps):
        index = torch.randint(len(clean), (min(batch, len(clean)),), generator=stream)
        x, m = clean[index].float() / 255, mask.sigmoid()
        logits = classifier((1 - m) * x + m * pattern.sigmoid())
        norm = m.sum()
        size = float(norm.detach())
        loss = cross_entropy(logits, torch.full((len(x),), target)) + weight * norm
        sent = float((logits.argmax(1) == target).double().mean())
        if sent >= success and size < best:
            best, kept = size, (m.detach().clone(), pattern.detach().sigmoid().clone())
        weight = weight * 1.5 if sent >= success else weight / 1.5
        optimiser.zero_grad()
        loss.backward()
        optimiser.step()
    m, k = kept or (mask.detach().sigmoid(), pattern.detach().sigmoid())
    with torch.no_grad():
        x = clean.float() / 255
        sent = float((classifier((1 - m) * x + m * k).argmax(1) == target).double().mean())
    return m, k, sent
