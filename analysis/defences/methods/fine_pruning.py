"""Fine-Pruning (Liu, Dolan-Gavitt, Garg, RAID 2018): prune channels that clean images do not activate, fine-tune."""

import copy

import torch
from torch import Tensor, nn

from ....representations.capture import evaluating
from ....representations.encoders import Encoder
from ....representations.errors import InputError
from ....training.augment import Augment
from ..common.heads import held_out_acc
from .fine_tuning import fine_tuning

__all__ = ["fine_pruning"]


def fine_pruning(
    encoder: Encoder,
    clean: Tensor,
    labels: Tensor,
    *,
    augment: Augment,
    drop: float = 0.1,
    seed: int = 0,
    **tuning: float,
) -> Encoder:
    """Prune channels of the last convolution, those least active on clean images first, then fine-tune.

    Pruning stops before ACC on half of the clean images falls by ``drop`` (weighted kNN, the other half is its bank).
    :func:`.fine_tuning` follows.

    Args:
        clean: uint8 ``(m, 3, H, W)``. labels: int64 ``(m,)``. tuning: arguments of :func:`.fine_tuning`.

    Raises:
        InputError: no batch normalisation follows the last convolution.
    """
    pruned = copy.deepcopy(encoder).eval()
    last = _last_norm(pruned)
    order = _activity(pruned, last, clean).argsort()
    acc = held_out_acc(pruned, clean, labels, seed=seed, purpose="fine-pruning")
    before = acc()
    with torch.no_grad():
        for channel in order[:-1].tolist():
            previous = last.weight[channel].clone(), last.bias[channel].clone()
            last.weight[channel], last.bias[channel] = 0, 0
            if acc() < before - drop:
                last.weight[channel], last.bias[channel] = previous
                break
    return fine_tuning(pruned, clean, labels, augment=augment, seed=seed, **tuning)  # type: ignore[arg-type]


def _last_norm(encoder: Encoder) -> nn.BatchNorm2d:
    """The normalisation after the last convolution that is not a shortcut."""
    modules = list(encoder.backbone.modules())
    places = [i for i, m in enumerate(modules) if isinstance(m, nn.Conv2d) and m.kernel_size != (1, 1)]
    following = modules[places[-1] + 1] if places and places[-1] + 1 < len(modules) else None
    if not isinstance(following, nn.BatchNorm2d):
        raise InputError("encoder: expected a batch normalisation behind its last convolution, received none")
    return following


def _activity(encoder: Encoder, layer: nn.Module, images: Tensor) -> Tensor:
    """Mean positive part of each channel over images and positions, ``(c,)``."""
    sums: list[Tensor] = []
    handle = layer.register_forward_hook(lambda m, i, out: sums.append(out.clamp(min=0).mean((2, 3)).sum(0).double()))
    try:
        with torch.inference_mode(), evaluating(encoder):
            for part in images.split(256):
                encoder(part.to(encoder.mean.device))
    finally:
        handle.remove()
    return torch.stack(sums).sum(0) / len(images)
