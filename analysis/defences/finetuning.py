"""Fine-tuning on clean images, the plainest repair; and Fine-Pruning (Liu, Dolan-Gavitt, Garg, RAID 2018)."""

import copy
from collections.abc import Callable, Mapping

import torch
from torch import Tensor, nn
from torch.nn.functional import cross_entropy

from ...representations.capture import evaluating, tapped
from ...representations.encoders import Encoder
from ...representations.errors import InputError
from ...training.augment import Augment
from .batches import clean_batches
from .heads import clean_head, held_out_acc

__all__ = ["fine_pruning", "fine_tuning"]

Beside = Callable[[Mapping[str, Tensor], Tensor], Tensor]


def fine_tuning(
    encoder: Encoder,
    clean: Tensor,
    labels: Tensor,
    *,
    augment: Augment,
    epochs: int = 60,
    lr: float = 3e-3,
    batch: int = 32,
    seed: int = 0,
    beside: Beside | None = None,
) -> Encoder:
    """A copy trained on with cross-entropy on the clean images, augmented, by Adam; all weights and BN's statistics
    move. Its head begins as a logistic probe of the features.

    The defaults were chosen on one run of ``digits-badnets`` (seed 0, 120 clean images), where the usual lr of 1e-3
    leaves ASR, by evaluators fitted anew, as it was.

    Args:
        clean: uint8 ``(m, 3, H, W)``. labels: int64 ``(m,)``.
        beside: another loss that is added: outputs at all taps and float images of a batch → scalar.
    """
    tuned = copy.deepcopy(encoder)
    head, columns = clean_head(tuned, clean, labels)
    optimiser = torch.optim.Adam([*tuned.parameters(), *head.parameters()], lr=lr)
    tuned.train()
    with tapped(tuned, tuned.layers if beside else ()) as outputs:
        for index, x in clean_batches(clean, augment, epochs=epochs, batch=batch, seed=seed, purpose="fine-tuning"):
            optimiser.zero_grad(set_to_none=True)
            loss = cross_entropy(head(tuned(x)), columns[index])
            (loss + beside(outputs, x) if beside else loss).backward()
            optimiser.step()
    return tuned.eval()


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
    """Channels of the last convolution that clean images leave asleep are cut, the least active first, while ACC on
    half of the clean images (weighted kNN, the other half its bank) has not fallen by ``drop``; then
    :func:`fine_tuning`. The paper stops at a fall of 10 %."""
    pruned = copy.deepcopy(encoder).eval()
    last = _last_norm(pruned)
    order = _activity(pruned, last, clean).argsort()
    acc = held_out_acc(pruned, clean, labels, seed=seed, purpose="fine-pruning")
    before = acc()
    with torch.no_grad():
        for channel in order[:-1].tolist():
            kept = last.weight[channel].clone(), last.bias[channel].clone()
            last.weight[channel], last.bias[channel] = 0, 0
            if acc() < before - drop:
                last.weight[channel], last.bias[channel] = kept
                break
    return fine_tuning(pruned, clean, labels, augment=augment, seed=seed, **tuning)  # type: ignore[arg-type]


def _last_norm(encoder: Encoder) -> nn.BatchNorm2d:
    """What follows the last convolution that is no shortcut."""
    modules = list(encoder.backbone.modules())
    places = [i for i, m in enumerate(modules) if isinstance(m, nn.Conv2d) and m.kernel_size != (1, 1)]
    following = modules[places[-1] + 1] if places and places[-1] + 1 < len(modules) else None
    if not isinstance(following, nn.BatchNorm2d):
        raise InputError("encoder: expected a batch normalisation behind its last convolution, received none")
    return following


def _activity(encoder: Encoder, layer: nn.Module, images: Tensor) -> Tensor:
    """Mean of each channel's positive part over images and places, ``(c,)``."""
    sums: list[Tensor] = []
    handle = layer.register_forward_hook(lambda m, i, out: sums.append(out.clamp(min=0).mean((2, 3)).sum(0).double()))
    try:
        with torch.inference_mode(), evaluating(encoder):
            for part in images.split(256):
                encoder(part.to(encoder.mean.device))
    finally:
        handle.remove()
    return torch.stack(sums).sum(0) / len(images)
