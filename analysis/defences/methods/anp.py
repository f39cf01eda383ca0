"""Adversarial Neuron Pruning (Wu and Wang, NeurIPS 2021): prune channels that are sensitive to changes of scale."""

import copy
from collections.abc import Callable

import torch
from torch import Tensor, nn
from torch.func import functional_call
from torch.nn.functional import cross_entropy

from ....probes.linear import ridge_head
from ....representations.capture import capture
from ....representations.encoders import FEATURES, Encoder
from ....representations.errors import InputError
from ....representations.seeds import generator
from ..common.heads import held_out_acc

__all__ = ["anp"]

THRESHOLDS = tuple(round(0.05 * i, 2) for i in range(1, 19))


def anp(
    encoder: Encoder,
    clean: Tensor,
    labels: Tensor,
    *,
    epsilon: float = 0.4,
    alpha: float = 0.2,
    steps: int = 400,
    lr: float = 0.2,
    batch: int = 64,
    drop: float = 0.1,
    seed: int = 0,
) -> Encoder:
    """Make a copy in which the scales of some BatchNorm channels are 0.

    Masks m ∈ [0, 1] on all scales are learned by SGD on α·CE(m) + (1 − α)·CE(m + δ, 1 + ξ). δ and ξ are relative
    changes of scales and shifts: one signed ascent step from a random start, within ±``epsilon`` (eq. 5, with the
    paper's ε, α and lr, and 400 steps instead of 2,000). Channels with small masks are then pruned, threshold by
    threshold up to .9, until ACC on half of the clean images would fall by ``drop``.

    The classifier is a frozen ridge head on the clean images. The loss of a logistic head is too flat: on
    ``digits-badnets``, seed 0, ASR stays at .95 with it.

    Args:
        clean: uint8 ``(m, 3, H, W)``. labels: int64 ``(m,)``.

    Raises:
        InputError: the encoder has no batch normalisation.
    """
    pruned = copy.deepcopy(encoder).eval()
    classes, columns = labels.unique(return_inverse=True)
    head = ridge_head(capture(pruned, clean, layers=[FEATURES])[FEATURES], columns, len(classes))
    norms = {name: m for name, m in pruned.named_modules() if isinstance(m, nn.BatchNorm2d)}
    if not norms:
        raise InputError("encoder: expected batch normalisation in it, received none")
    device = pruned.mean.device
    masks = {name: torch.ones_like(norm.weight).requires_grad_() for name, norm in norms.items()}
    optimiser = torch.optim.SGD(masks.values(), lr=lr, momentum=0.9)

    def loss(x: Tensor, y: Tensor, noise: dict[str, tuple[Tensor, Tensor]] | None) -> Tensor:
        changed = {}
        for name, norm in norms.items():
            of_scale, of_shift = noise[name] if noise else (0.0, 0.0)
            changed[f"{name}.weight"] = norm.weight.detach() * (masks[name] + of_scale)
            changed[f"{name}.bias"] = norm.bias.detach() * (1 + of_shift)
        return cross_entropy(head(functional_call(pruned, changed, (x,))), y)

    for step in range(steps):
        stream = generator(seed, "anp", step)
        index = torch.randint(len(clean), (min(batch, len(clean)),), generator=stream)
        x, y = clean[index].to(device).float() / 255, columns[index].to(device)
        noise = {}
        for name, norm in norms.items():
            drawn = epsilon * (2 * torch.rand(2, len(norm.weight), generator=stream) - 1)
            scale, shift = drawn.to(device)
            noise[name] = scale.requires_grad_(), shift.requires_grad_()
        flat = [t for pair in noise.values() for t in pair]
        uphill = torch.autograd.grad(loss(x, y, noise), flat)
        worst = [(t + epsilon * g.sign()).clamp(-epsilon, epsilon).detach() for t, g in zip(flat, uphill, strict=True)]
        noise = {name: (worst[2 * i], worst[2 * i + 1]) for i, name in enumerate(norms)}
        optimiser.zero_grad()
        (alpha * loss(x, y, None) + (1 - alpha) * loss(x, y, noise)).backward()
        optimiser.step()
        with torch.no_grad():
            for mask in masks.values():
                mask.clamp_(0, 1)
    _cut(norms, masks, held_out_acc(pruned, clean, labels, seed=seed, purpose="anp-held-out"), drop)
    return pruned


@torch.no_grad()
def _cut(norms: dict[str, nn.BatchNorm2d], masks: dict[str, Tensor], acc: Callable[[], float], drop: float) -> None:
    """Prune threshold by threshold; undo the step that costs too much ACC."""
    before = acc()
    for threshold in THRESHOLDS:
        previous = {name: norm.weight.clone() for name, norm in norms.items()}
        for name, norm in norms.items():
            norm.weight[masks[name] < threshold] = 0
        if acc() < before - drop:
            for name, norm in norms.items():
                norm.weight.copy_(previous[name])
            return
