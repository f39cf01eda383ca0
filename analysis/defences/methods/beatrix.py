"""Beatrix (Ma et al., NDSS 2023): detect poisons by Gram matrices of powers of their feature maps."""

from collections.abc import Iterator

import torch
from torch import Tensor

from ....representations.errors import InputError
from ....representations.seeds import generator
from ..common.detection import Detection, each_class

__all__ = ["beatrix", "gram_powers"]

AT_ONCE = 64
TINY = 1e-6  # as in the paper's code: added to bounds, which may be 0
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
    """Score images by the entries of their Gram matrices (orders 1 to ``powers``) beyond the bounds of clean images.

    The bounds of a class are median ± ``width``·MAD of its clean images. The score is the distance to the bound,
    relative to it, summed over entries and orders. Half of the clean images, drawn by ``seed``, give the bounds. The
    other half gives the threshold, the (1 − ``false_alarms``) quantile of its scores. A class of fewer than four clean
    images uses those of all classes.

    Args:
        maps: feature maps of the training images, ``(n, c, h, w)``. labels: their labels, ``(n,)``.
        clean, clean_labels: the same of at least eight images known to be clean.

    Raises:
        InputError: other shapes, too few images, or values that are not finite.
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
            # In torch, on the device and along one dimension: millions of medians at once.
            median = seen.quantile(0.5, dim=0)
            reach = width * (seen - median).abs().quantile(0.5, dim=0)
            limits = median - reach, median + reach
            scores[index] += torch.cat([_beyond(g, *limits) for g in _grams(maps[index], power)])
            of_rest += torch.cat([_beyond(g, *limits) for g in _grams(rest, power)])
        held_out.append(of_rest)
    threshold = torch.cat(held_out).quantile(1 - false_alarms)
    return Detection(scores, scores > threshold)


def _grams(maps: Tensor, power: int) -> Iterator[Tensor]:
    """The matrices in parts: those of a whole class may not fit in memory."""
    for part in maps.split(AT_ONCE):
        yield gram_powers(part, power)


def gram_powers(maps: Tensor, power: int) -> Tensor:
    """The upper triangle of (F^p F^pᵀ)^(1/p), float64 ``(n, c·(c + 1)/2)``, where F is the flattened map ``(c, h·w)``.

    Powers and roots are taken entry by entry; roots preserve the sign (eq. 4).
    """
    x = maps.double().flatten(2).pow(power)
    rows, columns = torch.triu_indices(x.shape[1], x.shape[1])
    product = (x @ x.transpose(1, 2))[:, rows, columns]
    return product.sign() * product.abs().pow(1 / power)


def _beyond(values: Tensor, low: Tensor, high: Tensor) -> Tensor:
    """Distance to the nearer bound, relative to it, summed over entries; 0 between the bounds."""
    below = (low - values).clamp(min=0) / (low + TINY).abs()
    above = (values - high).clamp(min=0) / (high + TINY).abs()
    return (below + above).sum(1)
