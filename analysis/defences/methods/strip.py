"""STRIP (Gao et al., ACSAC 2019): a triggered image is predicted alike whatever is blended into it."""

from collections.abc import Callable

import torch
from torch import Tensor

from ....representations.errors import InputError
from ....representations.seeds import generator
from ..common.detection import Detection

__all__ = ["overlay_entropy", "strip"]

Predict = Callable[[Tensor], Tensor]


def strip(
    images: Tensor,
    clean: Tensor,
    held_out: Tensor,
    predict: Predict,
    *,
    overlays: int = 64,
    weight: float = 0.5,
    false_alarms: float = 0.05,
    seed: int = 0,
) -> Detection:
    """Score images by minus the mean entropy of predictions on blends with ``overlays`` clean images.

    Images are flagged below the ``false_alarms`` quantile of the entropies of held-out clean images.

    Args:
        images: uint8 ``(n, 3, H, W)``. clean: overlays, known to be clean, uint8 ``(m, 3, H, W)``.
        held_out: more clean images, to which ``predict`` was not fitted, for the threshold.
        predict: float images in [0, 1] → class probabilities ``(b, c)``.
        weight: weight of the image in a blend; the overlay has the rest.

    Raises:
        InputError: fewer than two images in ``clean`` or ``held_out``.
    """
    for name, some in (("clean", clean), ("held_out", held_out)):
        if len(some) < 2:
            raise InputError(f"{name}: expected at least 2 images, received {len(some)}")
    entropy = overlay_entropy(images, clean, predict, overlays=overlays, weight=weight, seed=seed)
    of_clean = overlay_entropy(held_out, clean, predict, overlays=overlays, weight=weight, seed=seed)
    return Detection(-entropy, entropy < of_clean.quantile(false_alarms))


def overlay_entropy(
    images: Tensor, clean: Tensor, predict: Predict, *, overlays: int = 64, weight: float = 0.5, seed: int = 0
) -> Tensor:
    """Mean Shannon entropy of the predictions on blends, in nats, float64 ``(n,)``.

    Each image has its own draws. A clean image may be drawn as its own overlay, once in ``len(clean)`` draws.
    """
    stream = generator(seed, "strip", len(images))
    chosen = torch.randint(len(clean), (len(images), overlays), generator=stream)
    found = []
    for index, drawn in zip(torch.arange(len(images)).split(16), chosen.split(16), strict=True):
        x, over = images[index].float().unsqueeze(1) / 255, clean[drawn].float() / 255
        p = predict((weight * x + (1 - weight) * over).flatten(0, 1)).double().clamp(min=1e-12)
        found.append(-(p * p.log()).sum(1).view(len(index), overlays).mean(1))
    return torch.cat(found) if found else torch.zeros(0, dtype=torch.float64)
