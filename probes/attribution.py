"""Which pixels make an encoder see the target? Attribution maps (by Captum), and how well they find the trigger.

What is attributed is the target's logit under a frozen head on the encoder's features, so that supervised and
contrastive encoders are read the same way. Everything runs in batches with BN in evaluation mode, and parameters take
no gradient: memory is that of the activations of ``batch_size`` images and of the maps, however many steps there are.
"""

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from importlib import import_module
from types import ModuleType

import torch
from scipy.stats import hypergeom
from torch import Tensor, nn
from torch.nn.functional import interpolate

from ..representations.capture import evaluating
from ..representations.encoders import Encoder
from ..representations.errors import InputError
from ..training.triggers.spectral import dct_matrix
from .influence import Head

__all__ = [
    "FrequencyEnergy",
    "Localisation",
    "changed_pixels",
    "frequency_energy",
    "grad_cam",
    "integrated_gradients",
    "trigger_localisation",
]


def integrated_gradients(
    encoder: Encoder,
    head: Head,
    images: Tensor,
    target: int,
    *,
    baselines: Tensor | None = None,
    times_change: bool = True,
    steps: int = 32,
    batch_size: int = 64,
) -> Tensor:
    """What each pixel adds to the target's logit on the straight way from a baseline x' to the image x: integrated
    gradients (Sundararajan et al., ICML 2017),

        (x − x')·∫₀¹ ∂logit(x' + α(x − x'))/∂x dα.

    Signed, and complete: the map sums to logit(x) − logit(x'), up to the error of ``steps``. With the clean image as
    baseline it tells how the change from clean to triggered acts, and is 0 wherever the trigger changes nothing: that
    it lies inside the trigger is then no finding. To *find* a trigger, leave the baseline out, or use :func:`grad_cam`.

    Cost: ``steps`` forward and backward passes an image; never more than ``batch_size`` images in one.

    Args:
        images: uint8 or float in [0, 1], ``(n, 3, H, W)``. target: column of the logits.
        baselines: ``(n, 3, H, W)``; by default the encoder's mean colour, which its normalisation makes 0.
        times_change: False leaves the factor x − x' out: the mean gradient along the way, whose frequencies
            :func:`frequency_energy` reads. (A product's frequencies are sums and differences of its factors'.)

    Returns:
        float32 ``(n, 3, H, W)``, on the CPU.
    """
    captum = _captum()
    _check(images, target, batch_size)
    if steps < 1:
        raise InputError(f"steps: expected at least 1, received {steps}")
    if baselines is not None and baselines.shape != images.shape:
        raise InputError(f"baselines: expected {tuple(images.shape)}, received {tuple(baselines.shape)}")
    maps = []
    with _frozen(encoder, head):
        explain = captum.IntegratedGradients(_logit(encoder, head, target), multiply_by_inputs=times_change)
        # Captum repeats the images it gets for all steps, so give it few at a time.
        for at, part in _split(images, max(1, batch_size // steps)):
            x = _floats(part, encoder)
            start = encoder.mean.to(x).expand_as(x) if baselines is None else _floats(baselines[at], encoder)
            found = explain.attribute(x, start, n_steps=steps, internal_batch_size=batch_size)
            maps.append(_finite(found))
    return torch.cat(maps)


def grad_cam(
    encoder: Encoder, head: Head, images: Tensor, target: int, *, layer: str | None = None, batch_size: int = 64
) -> Tensor:
    """Where a layer's channels speak for the target: Grad-CAM (Selvaraju et al., ICCV 2017),
    ReLU(Σ_c (mean over positions of ∂logit/∂A_c)·A_c), brought to the size of the images (bilinear).

    Needs no clean image. No finer than the layer's own grid: at the last layer of a small encoder that is 2 × 2 or
    4 × 4, and a small trigger cannot be told from its surroundings. Where no position speaks for the target the map is
    all 0.

    Args:
        images: uint8 or float in [0, 1], ``(n, 3, H, W)``. target: column of the logits.
        layer: a layer with a spatial output; the last inner one by default.

    Returns:
        float32 ``(n, H, W)``, ≥ 0, on the CPU.
    """
    captum = _captum()
    _check(images, target, batch_size)
    inner = encoder.layers[:-1]
    if layer is None and inner:
        layer = inner[-1]
    if layer not in inner:
        raise InputError(f"layer: expected one of {', '.join(inner) or 'none: no inner layers'}, received {layer}")
    maps = []
    with _frozen(encoder, head):
        explain = captum.LayerGradCam(
            _logit(encoder, head, target), encoder.backbone.get_submodule(encoder.layer_modules[layer])
        )
        for _, part in _split(images, batch_size):
            found = explain.attribute(_floats(part, encoder), relu_attributions=True)
            if not isinstance(found, Tensor) or found.ndim != 4:
                raise InputError(f"layer: expected one with an output (n, c, h, w), received {layer}")
            maps.append(_finite(interpolate(found, images.shape[2:], mode="bilinear", align_corners=False)[:, 0]))
    return torch.cat(maps)


@dataclass(frozen=True)
class Localisation:
    """How well maps find the trigger, an entry an image, float64 ``(n,)``; NaN where nothing can be said (a map of
    zeros, a mask without pixels).

    ``iou``: intersection over union of the mask with as many of the map's largest pixels; 1 for a map that finds it.
    ``energy``: share of the map's squares inside the mask.
    ``chance_iou``, ``chance_energy``: what a map that knows nothing of the trigger has on average. For a mask of all
        pixels both readings are 1, and so is chance.
    """

    iou: Tensor
    energy: Tensor
    chance_iou: Tensor
    chance_energy: Tensor


def trigger_localisation(maps: Tensor, mask: Tensor) -> Localisation:
    """Do attribution maps point to the pixels that the trigger changes? IoU of the top |mask| pixels, and share of
    energy inside.

    A pixel's size is √Σ_c a_c²: its sign does not count, and neither does the map's scale. Pixels tied at the threshold
    (a map with few that are not 0) are drawn at random; ``iou`` is the mean over these draws. Chance is a draw of
    |mask| pixels from all P: its mean IoU, and energy |mask|/P.

    Args:
        maps: ``(n, 3, H, W)`` or ``(n, H, W)``. mask: bool ``(n, H, W)`` or ``(H, W)``; see :func:`changed_pixels`.

    >>> mask = torch.zeros(4, 4, dtype=torch.bool)
    >>> mask[2:, 2:] = True
    >>> found = trigger_localisation(torch.stack([mask.double(), torch.ones(4, 4)]), mask)
    >>> found.iou.tolist() == [1.0, float(found.chance_iou[1])], found.energy.tolist(), round(float(found.iou[1]), 3)
    (True, [1.0, 0.25], 0.158)
    """
    if maps.ndim not in (3, 4) or len(maps) == 0:
        raise InputError(f"maps: expected (n, 3, H, W) or (n, H, W), received {tuple(maps.shape)}")
    if not bool(maps.isfinite().all()):
        raise InputError("maps: expected finite attributions, received NaN or infinity")
    place = (len(maps), *maps.shape[-2:])
    if mask.dtype != torch.bool or mask.shape not in (place, place[1:]):
        raise InputError(f"mask: expected bool {place} or {place[1:]}, received {mask.dtype} {tuple(mask.shape)}")
    # Brought to largest value 1 first: the squares of tiny gradients would be 0.
    a = maps.detach().cpu().double().reshape(len(maps), -1, place[1] * place[2])
    largest = a.abs().amax((1, 2))
    squares = (a / largest.clamp(min=torch.finfo(torch.float64).tiny)[:, None, None]).square().sum(1)
    inside = mask.cpu().expand(place).flatten(1)
    sizes = inside.sum(1)
    known = (largest > 0) & (sizes > 0)
    nan = float("nan")
    energy = torch.where(known, (squares * inside).sum(1) / squares.sum(1), nan)
    ious, chances = [], []
    for row, within, k, told in zip(squares, inside, sizes.tolist(), known.tolist(), strict=True):
        chances.append(_mean_iou(k, 0, len(row), k, k) if k else nan)
        if not told:
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
    """Mean IoU of two sets of k pixels that share ``sure`` pixels, and those of ``draws`` random ones out of ``tied``
    that are among the ``hits``."""
    shared = torch.arange(max(0, draws - (tied - hits)), min(draws, hits) + 1)
    common = (sure + shared).double()
    return float((torch.from_numpy(hypergeom.pmf(shared.numpy(), tied, hits, draws)) * common / (2 * k - common)).sum())


def changed_pixels(clean: Tensor, triggered: Tensor, *, threshold: float = 0.0) -> Tensor:
    """Where a trigger changes any channel by more than ``threshold``, on the images' own scale: bool ``(n, H, W)``.

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
    """Share of a map's energy (sum of squares) in given DCT frequencies, over all channels and windows: whether an
    encoder listens to a spectral trigger's frequencies.

    Give it gradients with respect to pixels, ``integrated_gradients(…, times_change=False)``, or a change of images.
    Attributions are gradient times change, and the product of two waves of frequency f has the frequencies 0 and 2f:
    an encoder that listens to nothing but f has an attribution with hardly any energy there.
    Chance is |positions|/window²; natural gradients are not white, so compare with another trigger's frequencies too.

    Args:
        maps: ``(n, c, H, W)`` or ``(n, H, W)``, H and W multiples of ``window``.
        positions: (row, column) in the window's DCT; of a :class:`~..training.triggers.Spectral`, with its ``window``.

    >>> d = dct_matrix(4)
    >>> wave = torch.outer(d[1], d[2]).view(1, 4, 4)
    >>> found = frequency_energy(wave, [(1, 2)], 4)
    >>> round(found.share.item(), 6), found.chance
    (1.0, 0.0625)
    """
    if maps.ndim not in (3, 4) or len(maps) == 0:
        raise InputError(f"maps: expected (n, c, H, W) or (n, H, W), received {tuple(maps.shape)}")
    if not bool(maps.isfinite().all()):
        raise InputError("maps: expected finite values, received NaN or infinity")
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


def _captum() -> ModuleType:
    """``captum.attr``. Imported here so that nothing else needs it."""
    try:
        return import_module("captum.attr")
    except ImportError as error:
        raise ImportError("attribution maps need Captum: pip install captum") from error


@contextmanager
def _frozen(encoder: Encoder, head: Head) -> Iterator[None]:
    """Inside, evaluation mode, and no parameter takes a gradient: the backward pass keeps what the images need only."""
    modules = [m for m in (encoder, head) if isinstance(m, nn.Module)]
    flags = [(p, p.requires_grad) for m in modules for p in m.parameters()]
    together = nn.ModuleList(modules)
    try:
        with evaluating(together), torch.enable_grad():
            for p, _ in flags:
                p.requires_grad_(False)
            yield
    finally:
        for p, was in flags:
            p.requires_grad_(was)


def _logit(encoder: Encoder, head: Head, target: int) -> Callable[[Tensor], Tensor]:
    def logit(x: Tensor) -> Tensor:
        logits = head(encoder(x))
        if logits.ndim != 2 or logits.shape[1] <= target:
            raise InputError(
                f"target: expected a column of the head's logits, {tuple(logits.shape)}, received {target}"
            )
        return logits[:, target]

    return logit


def _check(images: Tensor, target: int, batch_size: int) -> None:
    if images.ndim != 4 or len(images) == 0:
        raise InputError(f"images: expected at least one, (n, 3, H, W), received {tuple(images.shape)}")
    if target < 0:
        raise InputError(f"target: expected a class from 0, received {target}")
    if batch_size < 1:
        raise InputError(f"batch_size: expected at least 1, received {batch_size}")


def _split(images: Tensor, size: int) -> Iterator[tuple[slice, Tensor]]:
    for start in range(0, len(images), size):
        at = slice(start, start + size)
        yield at, images[at]


def _floats(images: Tensor, encoder: Encoder) -> Tensor:
    x = images.detach().to(encoder.mean.device)
    return x.float() / 255 if x.dtype == torch.uint8 else x.to(encoder.mean.dtype)


def _finite(maps: Tensor) -> Tensor:
    maps = maps.detach().float().cpu()
    if not bool(maps.isfinite().all()):
        raise InputError("encoder: expected finite gradients, received NaN or infinity")
    return maps
