"""Adversarial Neuron Pruning (Wu and Wang, NeurIPS 2021): channels that a small change of scale turns into a backdoor
are cut."""

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
    """A copy in which the scale of some BatchNorm channels is 0.

    Masks m ∈ [0, 1] on all scales are learned by SGD on α·CE(m) + (1 − α)·CE(m + δ, 1 + ξ): δ and ξ change the scales
    and shifts relative to themselves, one signed step uphill from a random start, within ±``epsilon`` (their eq. 5,
    with their ε, α and lr; 400 steps for their 2,000). Then channels of small masks are cut, threshold by threshold up
    to .9, while ACC on half of the clean images has not fallen by ``drop``. The classifier, frozen, is a ridge head on
    the clean images: a logistic one is so sure of them that its loss is flat (on ``digits-badnets``, seed 0, ASR stays
    at .95 with it).

    Args:
        clean: uint8 ``(m, 3, H, W)``. labels: int64 ``(m,)``.
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
    """Threshold by threshold; the step that costs too much is taken back."""
    before = acc()
    for threshold in THRESHOLDS:
        kept = {name: norm.weight.clone() for name, norm in norms.items()}
        for name, norm in norms.items():
            norm.weight[masks[name] < threshold] = 0
        if acc() < before - drop:
            for name, norm in norms.items():
                norm.weight.copy_(kept[name])
            return
