"""Attribution maps (by Captum): which pixels raise the target's logit?

The logit is that of a frozen head on the encoder's features, the same for supervised and contrastive encoders.
:mod:`.attribution_scores` compares the maps with the trigger. All runs in batches with BN in evaluation mode, and
parameters get no gradient. Memory is that of the activations of ``batch_size`` images and of the maps, for any number
of steps.
"""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from importlib import import_module
from types import ModuleType

import torch
from torch import Tensor, nn
from torch.nn.functional import interpolate

from ..representations.capture import evaluating
from ..representations.encoders import Encoder
from ..representations.errors import InputError
from .checks import check_batches
from .influence import Head

__all__ = ["grad_cam", "integrated_gradients"]


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
    """Integrated gradients (Sundararajan et al., ICML 2017): what each pixel adds to the target's logit,

        (x − x')·∫₀¹ ∂logit(x' + α(x − x'))/∂x dα,

    on the straight path from a baseline x' to the image x. The map is signed and sums to logit(x) − logit(x'), up to
    the error of ``steps``. With the clean image as baseline it attributes the change from clean to triggered. It is
    then 0 where the trigger changes no pixel, and so always inside the trigger. To *find* a trigger, leave the baseline
    out or use :func:`grad_cam`.

    Cost: ``steps`` forward and backward passes an image, with at most ``batch_size`` images in each.

    Args:
        images: uint8 or float in [0, 1], ``(n, 3, H, W)``. target: column of the logits.
        baselines: ``(n, 3, H, W)``; by default the encoder's mean colour, which its normalisation makes 0.
        times_change: False leaves the factor x − x' out. The result is the mean gradient along the path, for
            :func:`.frequency_energy`. (A product's frequencies are sums and differences of its factors'.)

    Returns:
        float32 ``(n, 3, H, W)``, on the CPU.
    """
    captum = _captum()
    check_batches(images, target, batch_size)
    if steps < 1:
        raise InputError(f"steps: expected at least 1, received {steps}")
    if baselines is not None and baselines.shape != images.shape:
        raise InputError(f"baselines: expected {tuple(images.shape)}, received {tuple(baselines.shape)}")
    maps = []
    with _frozen(encoder, head):
        explain = captum.IntegratedGradients(_logit(encoder, head, target), multiply_by_inputs=times_change)
        # Captum repeats its images for all steps, so pass few at a time.
        for at, part in _split(images, max(1, batch_size // steps)):
            x = _floats(part, encoder)
            start = encoder.mean.to(x).expand_as(x) if baselines is None else _floats(baselines[at], encoder)
            found = explain.attribute(x, start, n_steps=steps, internal_batch_size=batch_size)
            maps.append(_finite(found))
    return torch.cat(maps)


def grad_cam(
    encoder: Encoder, head: Head, images: Tensor, target: int, *, layer: str | None = None, batch_size: int = 64
) -> Tensor:
    """Grad-CAM (Selvaraju et al., ICCV 2017): where a layer's channels raise the target's logit.

    The map is ReLU(Σ_c (mean over positions of ∂logit/∂A_c)·A_c), resized to the images (bilinear). It needs no clean
    image. It is no finer than the layer's grid. At the last layer of a small encoder that is 2 × 2 or 4 × 4, too coarse
    to separate a small trigger from its surroundings. Where no position raises the logit the map is 0.

    Args:
        images: uint8 or float in [0, 1], ``(n, 3, H, W)``. target: column of the logits.
        layer: one with a spatial output; the last inner one by default.

    Returns:
        float32 ``(n, H, W)``, ≥ 0, on the CPU.
    """
    captum = _captum()
    check_batches(images, target, batch_size)
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


def _captum() -> ModuleType:
    """``captum.attr``, imported where it is needed: it is slow to import."""
    try:
        return import_module("captum.attr")
    except ImportError as error:
        raise ImportError("attribution maps need Captum: pip install captum") from error


@contextmanager
def _frozen(encoder: Encoder, head: Head) -> Iterator[None]:
    """Inside, set evaluation mode and give no parameter a gradient: the backward pass then stores less."""
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
