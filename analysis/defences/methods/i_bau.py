"""I-BAU (Zeng et al., ICLR 2022): unlearn the worst universal perturbation, by its implicit hypergradient."""

import copy
from collections.abc import Callable

import torch
from torch import Tensor
from torch.nn.functional import cross_entropy

from ....representations.encoders import Encoder
from ....representations.seeds import generator
from ..common.heads import clean_head

__all__ = ["ibau"]

Risk = Callable[[Tensor, Tensor], Tensor]


def ibau(
    encoder: Encoder,
    clean: Tensor,
    labels: Tensor,
    *,
    rounds: int = 30,
    radius: float = 2.5,
    ascents: int = 10,
    fixed_point: int = 5,
    rate: float = 0.1,
    lr: float = 1e-3,
    batch: int = 64,
    seed: int = 0,
) -> Encoder:
    """Train a copy on min over θ of max over ‖δ‖₂ ≤ ``radius`` of CE(f_θ(x + δ), y) (eq. 1), by Adam.

    Encoder and head change; BatchNorm is in evaluation mode. Each round finds one δ for all clean images by ``ascents``
    normalised gradient steps from 0. Then it takes a step for each batch along ∂_θ L + (∂δ*/∂θ)ᵀ ∂_δ L. The second
    term is a sum of ``fixed_point`` products with the Jacobian of the inner step (§3.3). L is the mean of the loss with
    δ and without it.

    Args:
        clean: uint8 ``(m, 3, H, W)``. labels: int64 ``(m,)``.
        radius: norm of δ in units of the image range [0, 1]. 2.5 is the paper's 10 on normalised images of 32×32, times
            a standard deviation of .25.
        rate: step size of the inner step in the hypergradient.
    """
    tuned = copy.deepcopy(encoder).eval()
    head, columns = clean_head(tuned, clean, labels)
    device = tuned.mean.device
    weights: list[Tensor] = [*tuned.parameters(), *head.parameters()]
    optimiser = torch.optim.Adam(weights, lr=lr)
    pixels = clean.to(device).float() / 255

    def risk(delta: Tensor, index: Tensor) -> Tensor:
        return cross_entropy(head(tuned((pixels[index] + delta).clamp(0, 1))), columns[index])

    for turn in range(rounds):
        stream = generator(seed, "ibau", turn)
        delta = _worst(risk, pixels, radius, ascents, batch, stream)
        for index in torch.randperm(len(clean), generator=stream).split(batch):
            optimiser.zero_grad(set_to_none=True)
            gradients = _hypergradient(risk, delta, index.to(device), weights, rate, fixed_point)
            for weight, gradient in zip(weights, gradients, strict=True):
                weight.grad = gradient
            optimiser.step()
    return tuned


def _worst(risk: Risk, pixels: Tensor, radius: float, ascents: int, batch: int, stream: torch.Generator) -> Tensor:
    """The perturbation ``(1, 3, H, W)`` with the highest risk, of norm at most ``radius``."""
    delta = torch.zeros_like(pixels[:1])
    for _ in range(ascents):
        index = torch.randint(len(pixels), (min(batch, len(pixels)),), generator=stream).to(pixels.device)
        delta.requires_grad_()
        (uphill,) = torch.autograd.grad(risk(delta, index), delta)
        delta = delta.detach() + 2 * radius / ascents * uphill / uphill.norm().clamp(min=1e-12)
        delta = delta * min(1.0, radius / float(delta.norm().clamp(min=1e-12)))
    return delta.detach()


def _hypergradient(
    risk: Risk, delta: Tensor, index: Tensor, weights: list[Tensor], rate: float, rounds: int
) -> list[Tensor]:
    """Gradient of ½(L(δ) + L(0)) over the weights, where δ depends on them through a step δ + rate·∂_δ L."""
    delta = delta.clone().requires_grad_()
    outer = 0.5 * (risk(delta, index) + risk(torch.zeros_like(delta), index))
    direct = torch.autograd.grad(outer, [*weights, delta])
    v = by_delta = direct[-1]
    (slope,) = torch.autograd.grad(risk(delta, index), delta, create_graph=True)
    step = delta + rate * slope
    total = v
    for _ in range(rounds):
        (v,) = torch.autograd.grad(step, delta, grad_outputs=v, retain_graph=True)
        if not torch.isfinite(v).all() or float(v.norm()) > float(by_delta.norm()):
            break  # not a contraction: the series would not converge
        total = total + v
    through = torch.autograd.grad(step, weights, grad_outputs=total, allow_unused=True)
    return [d if t is None else d + t for d, t in zip(direct[:-1], through, strict=True)]
