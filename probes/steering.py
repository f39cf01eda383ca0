"""The trigger's direction at a layer: remove it from triggered images, or add it to clean ones.

Directional ablation and activation addition as in Arditi et al., *Refusal in Language Models Is Mediated by a Single
Direction*, NeurIPS 2024, except that the ablated component goes to its clean mean in place of 0.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass

from torch import Tensor

from ..representations.encoders import Encoder
from ..representations.errors import InputError
from ..representations.evaluators import accuracy, attack_success
from .patching import activations, cuts, run_edited

__all__ = ["ALPHAS", "SHARES", "SteeringPoint", "steering", "trigger_direction"]

SHARES = (0.0, 0.25, 0.5, 0.75, 1.0)
ALPHAS = (0.0, 0.25, 0.5, 1.0, 2.0)


@dataclass(frozen=True)
class SteeringPoint:
    """ASR and ACC at one strength x of an intervention, each a share of ``n_asr`` and ``n_acc`` images."""

    x: float
    asr: float
    acc: float
    n_asr: int
    n_acc: int


def trigger_direction(clean: Tensor, triggered: Tensor) -> Tensor:
    """Mean displacement δ, float64 ``(d,)``, of activations of the same images, ``(m, d)`` each."""
    if clean.ndim != 2 or clean.shape != triggered.shape or len(clean) == 0:
        raise InputError(
            f"clean, triggered: expected equal shapes (m, d), received {tuple(clean.shape)}, {tuple(triggered.shape)}"
        )
    return (triggered.double() - clean.double()).mean(0)


def steering(
    encoder: Encoder,
    layer: str,
    clean: Tensor,
    triggered: Tensor,
    labels: Tensor,
    bank_clean: Tensor,
    bank_triggered: Tensor,
    predict: Callable[[Tensor], Tensor],
    target: int,
    *,
    shares: Sequence[float] = SHARES,
    alphas: Sequence[float] = ALPHAS,
) -> tuple[list[SteeringPoint], list[SteeringPoint]]:
    """ASR and ACC along directional ablation, and along steering.

    Ablation removes a share x of the component along δ, about the clean mean c: h ← h − x·δ̂·δ̂ᵀ(h − c), at every
    position. ASR is that of triggered images of other classes, ACC that of clean images of all classes. Steering adds
    α·δ to *clean* images of other classes: ASR is the share of them sent to the target, ACC the share classified right.

    Args:
        clean, triggered: the same held-out images without and with the trigger, ``(n, 3, H, W)``. labels: ``(n,)``.
        bank_clean, bank_triggered: activations at the layer of images that are not held out, averaged over positions,
            ``(m, d)``. They give δ and c. predict: features ``(n, d)`` → classes ``(n,)``.

    Returns:
        The points of ablation, then those of steering.

    Raises:
        InputError: unequal shapes, no image of another class, an unknown layer.

    Cost: 2n forward passes, then from the layer on up to 2n passes a share and n passes an α.
    """
    if clean.shape != triggered.shape or labels.shape != (len(clean),):
        shapes = tuple(clean.shape), tuple(triggered.shape), tuple(labels.shape)
        raise InputError(f"clean, triggered, labels: expected images and a class for each, received {shapes}")
    delta, mean = trigger_direction(bank_clean, bank_triggered), bank_clean.double().mean(0)
    unit = delta / delta.norm().clamp(min=1e-30)

    def removing(share: float) -> Callable[[Tensor], Tensor]:
        def change(x: Tensor) -> Tensor:
            u, c = unit.to(x.device, x.dtype), mean.to(x.device, x.dtype)
            return x - share * ((x - c) @ u).unsqueeze(-1) * u

        return change

    def adding(alpha: float) -> Callable[[Tensor], Tensor]:
        return lambda x: x + alpha * delta.to(x.device, x.dtype)

    alone, others = cuts(encoder, layer, clean), labels != target
    if not others.any():
        raise InputError(f"labels: expected a class other than the target {target}, received none")
    of_clean = activations(encoder, clean, [layer])[layer]
    of_triggered = activations(encoder, triggered[others], [layer])[layer]

    def classes(values: Tensor, images: Tensor, changes: list[Callable[[Tensor], Tensor]]) -> Tensor:
        features = run_edited(encoder, layer, values, images, changes, alone=alone)
        return predict(features.flatten(0, 1)).view(features.shape[:2])

    removals = [removing(share) for share in shares]
    on_triggered, on_clean = classes(of_triggered, triggered[others], removals), classes(of_clean, clean, removals)
    where = others.to(of_clean.device)
    steered = classes(of_clean[where], clean[others], [adding(alpha) for alpha in alphas])
    ablation = [
        SteeringPoint(x, _rate(attack_success(t, labels[others], target)), _rate(accuracy(c, labels)), len(t), len(c))
        for x, t, c in zip(shares, on_triggered, on_clean, strict=True)
    ]
    added = [
        SteeringPoint(
            *(x, _rate(attack_success(p, labels[others], target)), _rate(accuracy(p, labels[others]))), len(p), len(p)
        )
        for x, p in zip(alphas, steered, strict=True)
    ]
    return ablation, added


def _rate(scores: Tensor) -> float:
    return float(scores.mean())
