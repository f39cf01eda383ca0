"""Beatrix (Ma et al., NDSS 2023): poisons are told by the Gram matrices of their feature maps' powers."""

from collections.abc import Iterator

import torch
from torch import Tensor

from ....representations.errors import InputError
from ....representations.seeds import generator
from ..common.detection import Detection, each_class

__all__ = ["beatrix", "gram_powers"]

AT_ONCE = 64
TINY = 1e-6  # theirs: what a bound of 0 is divided by
LEAST = 4


def beatrix(
    maps: Tensor,
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
    (1 − ``false_alarms``) quantile, and no image judges itself. A class of fewer than four clean images (a cluster into
    which hardly any falls) is held against those of all classes.

    Args:
        maps: of the training images, ``(n, c, h, w)``. labels: what they are said to be ``(n,)``. clean, clean_labels:
            the same of images known to be clean, at least eight.
    """
    for name, x, y, least in (("maps", maps, labels, 1), ("clean", clean, clean_labels, 2 * LEAST)):
        if x.ndim != 4 or y.shape != (len(x),) or len(x) < least:
            raise InputError(
                f"{name}: expected at least {least} maps (n, c, h, w) and their labels (n,), received {tuple(x.shape)} "
                f"and {tuple(y.shape)}"
            )
        if not torch.isfinite(x).all():
            raise InputError(f"{name}: expected finite values, received NaN or infinity")
    scores, held_out = torch.zeros(len(maps), dtype=torch.float64), []
    for index in each_class(labels):
        label = int(labels[index[0]])
        own = (clean_labels == label).nonzero().flatten()
        known = clean[own] if len(own) >= LEAST else clean
        order = torch.randperm(len(known), generator=generator(seed, "beatrix", label))
        bounds, rest = (known[part] for part in order.tensor_split(2))
        of_rest = torch.zeros(len(rest), dtype=torch.float64)
        for power in range(1, powers + 1):
            seen = torch.cat(list(_grams(bounds, power)))
            median = seen.quantile(0.5, dim=0)
            reach = width * (seen - median).abs().quantile(0.5, dim=0)
            limits = median - reach, median + reach
            scores[index] += torch.cat([_outside(g, *limits) for g in _grams(maps[index], power)])
            of_rest += torch.cat([_outside(g, *limits) for g in _grams(rest, power)])
        held_out.append(of_rest)
    threshold = torch.cat(held_out).quantile(1 - false_alarms)
    return Detection(scores, scores > threshold)


def _grams(maps: Tensor, power: int) -> Iterator[Tensor]:
    """A part at a time: the matrices of a whole class need not fit in memory."""
    for part in maps.split(AT_ONCE):
        yield gram_powers(part, power)


def gram_powers(maps: Tensor, power: int) -> Tensor:
    """The upper triangle of (F^p F^pᵀ)^(1/p), F being the maps with their places flattened, ``(c, h·w)``, powers and
    roots entry by entry; roots keep the sign (eq. 4). float64 ``(n, c·(c + 1)/2)``."""
    x = maps.double().flatten(2).pow(power)
    rows, columns = torch.triu_indices(x.shape[1], x.shape[1])
    product = (x @ x.transpose(1, 2))[:, rows, columns]
    return product.sign() * product.abs().pow(1 / power)


def _outside(values: Tensor, low: Tensor, high: Tensor) -> Tensor:
    """Σ over entries of the distance to the nearer bound, relative to it; 0 inside."""
    below = (low - values).clamp(min=0) / (low + TINY).abs()
    above = (values - high).clamp(min=0) / (high + TINY).abs()
    return (below + above).sum(1)
