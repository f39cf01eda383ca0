"""Beatrix (Ma et al., NDSS 2023): poisons are told by the Gram matrices of their features' powers."""

import torch
from torch import Tensor

from ...representations.errors import InputError
from ...representations.seeds import generator
from .detection import Detection, check_features, each_class

__all__ = ["beatrix", "gram_powers"]


def beatrix(
    features: Tensor,
    labels: Tensor,
    clean: Tensor,
    clean_labels: Tensor,
    *,
    powers: int = 8,
    width: float = 10.0,
    false_alarms: float = 0.05,
    seed: int = 0,
) -> Detection:
    """How far each entry of an image's Gram matrices (orders 1 to ``powers``) lies outside median ± ``width``·MAD of
    its class's clean images, relative to the bound, summed over entries and orders.

    Half of the clean images, drawn by ``seed``, give medians and MADs; the other half the threshold, their
    (1 − ``false_alarms``) quantile, and no image judges itself.

    Args:
        features, labels: training images ``(n, d)`` and what they are said to be ``(n,)``. clean, clean_labels: images
            known to be clean, at least four of each class that occurs in ``labels``.
    """
    features = check_features(features, labels, least=1)
    clean = check_features(clean, clean_labels, least=4, names=("clean", "clean_labels"))
    missing = sorted(set(labels.tolist()) - set(clean_labels.tolist()))
    if missing:
        raise InputError(f"clean_labels: expected images of every class, received none of {missing}")
    scores, held_out = torch.zeros(len(features), dtype=torch.float64), []
    for index in each_class(labels):
        label = int(labels[index[0]])
        of_class = clean[clean_labels == label]
        order = torch.randperm(len(of_class), generator=generator(seed, "beatrix", label))
        bounds, rest = order.tensor_split(2)
        for power in range(1, powers + 1):
            known = gram_powers(of_class[bounds], power)
            median = known.median(0).values
            mad = (known - median).abs().median(0).values
            low, high = median - width * mad, median + width * mad
            scores[index] += _outside(gram_powers(features[index], power), low, high)
            of_rest = _outside(gram_powers(of_class[rest], power), low, high)
            held_out.append((label, of_rest))
    totals: dict[int, Tensor] = {}
    for label, of_rest in held_out:
        totals[label] = totals.get(label, torch.zeros_like(of_rest)) + of_rest
    threshold = torch.cat(list(totals.values())).quantile(1 - false_alarms)
    return Detection(scores, scores > threshold)


def gram_powers(features: Tensor, power: int) -> Tensor:
    """The upper triangle of (f^p f^pᵀ)^(1/p), float64 ``(n, d·(d + 1)/2)``; roots keep the sign (eq. 4)."""
    x = features.double()
    x = x.sign() * x.abs().pow(power) if power % 2 == 0 else x.pow(power)
    rows, columns = torch.triu_indices(x.shape[1], x.shape[1])
    product = x[:, rows] * x[:, columns]
    return product.sign() * product.abs().pow(1 / power)


def _outside(values: Tensor, low: Tensor, high: Tensor) -> Tensor:
    """Σ over entries of the distance to the nearer bound, relative to it; 0 inside."""
    tiny = 1e-6 * values.abs().mean().clamp(min=1e-12)
    below = (low - values).clamp(min=0) / low.abs().clamp(min=float(tiny))
    above = (values - high).clamp(min=0) / high.abs().clamp(min=float(tiny))
    return (below + above).sum(1)
