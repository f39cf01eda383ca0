"""Do attribution maps find the trigger? Its pixels, or its frequencies."""

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from scipy.stats import hypergeom
from torch import Tensor

from ..representations.errors import InputError
from ..training.triggers.spectral import dct_matrix
from .checks import check_maps

__all__ = [
    "FrequencyEnergy",
    "Localisation",
    "changed_pixels",
    "frequency_energy",
    "trigger_localisation",
]


@dataclass(frozen=True)
class Localisation:
    """How well maps locate the trigger, one entry an image, float64 ``(n,)``.

    ``iou``: intersection over union of the mask with as many of the map's largest pixels; 1 if they are the same.
    ``energy``: share of the map's squares inside the mask.
    ``chance_iou``, ``chance_energy``: the mean of a map that is independent of the trigger. For a mask of all pixels
        both readings and chance are 1.
    Entries are NaN for a map of zeros or a mask without pixels.
    """

    iou: Tensor
    energy: Tensor
    chance_iou: Tensor
    chance_energy: Tensor


def trigger_localisation(maps: Tensor, mask: Tensor) -> Localisation:
    """Are the largest pixels of attribution maps those that the trigger changes?

    IoU of the top ``|mask|`` pixels with the mask, and the share of energy inside it. A pixel's size is √Σ_c a_c²:
    neither its sign nor the map's scale counts. Pixels tied at the threshold (as in a map with few nonzero pixels) are
    drawn at random, and ``iou`` is the mean over these draws. Chance is a draw of ``|mask|`` pixels from all P: its
    mean IoU, and energy ``|mask|/P``.

    Args:
        maps: ``(n, 3, H, W)`` or ``(n, H, W)``. mask: bool ``(n, H, W)`` or ``(H, W)``; see :func:`changed_pixels`.

    >>> mask = torch.zeros(4, 4, dtype=torch.bool)
    >>> mask[2:, 2:] = True
    >>> found = trigger_localisation(torch.stack([mask.double(), torch.ones(4, 4)]), mask)
    >>> found.iou.tolist() == [1.0, float(found.chance_iou[1])], found.energy.tolist(), round(float(found.iou[1]), 3)
    (True, [1.0, 0.25], 0.158)
    """
    check_maps(maps, "3")
    place = (len(maps), *maps.shape[-2:])
    if mask.dtype != torch.bool or mask.shape not in (place, place[1:]):
        raise InputError(f"mask: expected bool {place} or {place[1:]}, received {mask.dtype} {tuple(mask.shape)}")
    # Scaled to largest value 1 first: the squares of tiny gradients would be 0.
    a = maps.detach().cpu().double().reshape(len(maps), -1, place[1] * place[2])
    largest = a.abs().amax((1, 2))
    squares = (a / largest.clamp(min=torch.finfo(torch.float64).tiny)[:, None, None]).square().sum(1)
    inside = mask.cpu().expand(place).flatten(1)
    sizes = inside.sum(1)
    known = (largest > 0) & (sizes > 0)
    nan = float("nan")
    energy = torch.where(known, (squares * inside).sum(1) / squares.sum(1), nan)
    ious, chances = [], []
    for row, within, k, is_known in zip(squares, inside, sizes.tolist(), known.tolist(), strict=True):
        chances.append(_mean_iou(k, 0, len(row), k, k) if k else nan)
        if not is_known:
            ious.append(nan)
            continue
        threshold = row.topk(k).values[-1]
        above, tied = row > threshold, row == threshold
        sure, draws = int((above & within).sum()), k - int(above.sum())
        ious.append(_mean_iou(k, sure, int(tied.sum()), int((tied & within).sum()), draws))
    chance_energy = torch.where(sizes > 0, sizes.double() / inside.shape[1], nan)
    return Localisation(
        torch.tensor(ious, dtype=torch.float64), energy, torch.tensor(chances, dtype=torch.float64), chance_energy
    )


def _mean_iou(k: int, sure: int, tied: int, hits: int, draws: int) -> float:
    """Mean IoU of two sets of k pixels with ``sure`` common pixels.

    ``draws`` more are drawn out of ``tied`` pixels; those among the ``hits`` are common too.
    """
    shared = torch.arange(max(0, draws - (tied - hits)), min(draws, hits) + 1)
    common = (sure + shared).double()
    return float((torch.from_numpy(hypergeom.pmf(shared.numpy(), tied, hits, draws)) * common / (2 * k - common)).sum())


def changed_pixels(clean: Tensor, triggered: Tensor, *, threshold: float = 0.0) -> Tensor:
    """Where a trigger changes any channel by more than ``threshold``, on the scale of the images: bool ``(n, H, W)``.

    >>> changed_pixels(torch.zeros(1, 3, 1, 2), torch.tensor([0.0, 0.2]).expand(1, 3, 1, 2)).tolist()
    [[[False, True]]]
    """
    if clean.shape != triggered.shape or clean.ndim != 4 or clean.dtype != triggered.dtype:
        raise InputError(
            f"triggered: expected images (n, 3, H, W) as the clean ones, {clean.dtype} {tuple(clean.shape)}, "
            f"received {triggered.dtype} {tuple(triggered.shape)}"
        )
    return ((triggered.float() - clean.float()).abs() > threshold).any(1)


@dataclass(frozen=True)
class FrequencyEnergy:
    """``share``: float64 ``(n,)`` in [0, 1], NaN for a map of zeros; ``chance``: the share of white noise."""

    share: Tensor
    chance: float


def frequency_energy(maps: Tensor, positions: Sequence[tuple[int, int]], window: int) -> FrequencyEnergy:
    """Share of a map's energy (sum of squares) in given DCT frequencies, over all channels and windows.

    It measures whether an encoder responds to the frequencies of a spectral trigger. Pass gradients with respect to
    pixels, ``integrated_gradients(…, times_change=False)``, or a change of images. Attributions are gradient times
    change, and the product of two waves of frequency f has the frequencies 0 and 2f. The attribution of an encoder that
    responds to f alone therefore has almost no energy at f. Chance is ``|positions|/window²``. Natural gradients are
    not white, so compare with another trigger's frequencies too.

    Args:
        maps: ``(n, c, H, W)`` or ``(n, H, W)``, H and W multiples of ``window``.
        positions: (row, column) in the window's DCT; of a :class:`~..training.triggers.Spectral`, with its ``window``.

    >>> d = dct_matrix(4)
    >>> wave = torch.outer(d[1], d[2]).view(1, 4, 4)
    >>> found = frequency_energy(wave, [(1, 2)], 4)
    >>> round(found.share.item(), 6), found.chance
    (1.0, 0.0625)
    """
    check_maps(maps, "c")
    if window < 1 or maps.shape[-1] % window or maps.shape[-2] % window:
        raise InputError(f"window: expected a divisor of {tuple(maps.shape[-2:])}, received {window}")
    places = sorted(set(positions))
    if not places or not all(0 <= i < window for place in places for i in place):
        raise InputError(f"positions: expected (row, column) from 0 to {window - 1}, received {list(positions)}")
    x = maps.detach().cpu().double()
    x = x / x.abs().flatten(1).amax(1).clamp(min=torch.finfo(torch.float64).tiny).view(-1, *[1] * (x.ndim - 1))
    # (n, c, windows down, rows, windows across, columns)
    x = x.view(len(x), -1, x.shape[-2] // window, window, x.shape[-1] // window, window)
    d = dct_matrix(window).double()
    energy = torch.einsum("ur,ncarbs,vs->ncaubv", d, x, d).square().sum((1, 2, 4))
    total = energy.sum((1, 2))
    rows, columns = zip(*places, strict=True)
    share = torch.where(total > 0, energy[:, list(rows), list(columns)].sum(1) / total, float("nan"))
    return FrequencyEnergy(share, len(places) / window**2)
