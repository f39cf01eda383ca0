"""Trigger erasure: remove the trigger's direction from the features, by LEACE."""

from collections.abc import Callable

import torch
from torch import Tensor, nn

from ....probes.erasure import Eraser
from ....probes.leace import fit_leace
from ....representations.capture import capture
from ....representations.encoders import FEATURES, Encoder
from ....representations.errors import InputError
from ..common.detection import Detection

__all__ = ["erased", "estimated_eraser", "oracle_eraser"]


class _Erased(nn.Module):
    def __init__(self, backbone: nn.Module, eraser: Eraser) -> None:
        super().__init__()
        self.backbone, self.eraser = backbone, eraser

    def forward(self, x: Tensor) -> Tensor:
        return self.eraser(self.backbone(x))


def erased(encoder: Encoder, eraser: Eraser) -> Encoder:
    """The encoder with ``eraser`` after its output. Weights are shared; other layers do not change."""
    layers = {layer: f"backbone.{name}" for layer, name in encoder.layer_modules.items()}
    behind = Encoder(_Erased(encoder.backbone, eraser), layers)
    behind.mean, behind.std = encoder.mean, encoder.std
    return behind.train(encoder.training)


def oracle_eraser(
    encoder: Encoder, clean: Tensor, trigger: Callable[[Tensor], Tensor], *, shrinkage: float = 0.1
) -> Eraser:
    """LEACE (Belrose et al., NeurIPS 2023) of "triggered or not", fitted to clean images and their triggered copies.

    This is an oracle: it knows the trigger.

    Args:
        clean: uint8 ``(m, 3, H, W)``. trigger: float batch in [0, 1] → triggered batch. shrinkage: of correlations,
            because there may be about as many features as images.
    """
    pairs = [
        capture(encoder, clean, layers=[FEATURES], transform=transform)[FEATURES].double()
        for transform in (None, trigger)
    ]
    triggered = torch.arange(2 * len(clean)) >= len(clean)
    return fit_leace(torch.cat(pairs), triggered, shrinkage=shrinkage)


def estimated_eraser(features: Tensor, labels: Tensor, found: Detection, *, shrinkage: float = 0.1) -> Eraser:
    """LEACE of "flagged or not" within the class of the image with the highest score.

    Args:
        features: of the training images, ``(n, d)``. labels: int64 ``(n,)``. found: the result of a detector.

    Raises:
        InputError: all images of the class are flagged, or none.
    """
    own = labels == labels[int(found.scores.argmax())]
    flagged = found.flagged[own]
    if not flagged.any() or flagged.all():
        raise InputError(
            f"found: expected some images of the most suspicious class to be flagged and some not, received "
            f"{int(flagged.sum())} of {len(flagged)}"
        )
    return fit_leace(features[own].double(), flagged, shrinkage=shrinkage)
