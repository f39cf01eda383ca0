"""Interventions on activations: replace the output of a layer during the forward pass, and run on.

Interchange interventions: Geiger et al., *Causal Abstractions of Neural Networks*, NeurIPS 2021. Everything here works
on maps ``(n, d, h, w)``, tokens ``(n, t, d)`` and vectors ``(n, d)``, of any wrapped module, in evaluation mode. No
gradient is kept.
"""

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager

import torch
from torch import Tensor, nn

from ..representations.capture import BATCH, BATCH_CPU, evaluating
from ..representations.encoders import FEATURES, Encoder
from ..representations.errors import InputError

__all__ = [
    *("activations", "at_every_position", "check_subspace", "cuts", "patch", "project"),
    *("replacing", "run_edited", "run_from", "unit_interval"),
]

Change = Callable[[Tensor], Tensor]
ORTHONORMAL = 1e-4  # largest error of UᵀU that float32 explains


@contextmanager
def replacing(encoder: Encoder, layer: str, change: Change) -> Iterator[None]:
    """Inside, the encoder's forward pass continues from ``layer`` with ``change`` of its output.

    ``change`` gets the output as it is: a map, tokens or vectors. It must not write into it. The hook is removed on the
    way out, also after an exception.

    Raises:
        InputError: an unknown layer, or an output that is not one tensor.
    """

    def hook(_module: nn.Module, _inputs: object, output: object) -> Tensor:
        return change(_one_tensor(layer, output))

    handle = _module_of(encoder, layer).register_forward_hook(hook)
    try:
        yield
    finally:
        handle.remove()


def at_every_position(x: Tensor, change: Change) -> Tensor:
    """Apply a function of vectors ``(…, d)`` to the vector of channels at every position of an activation."""
    return change(x.movedim(1, -1)).movedim(-1, 1) if x.ndim == 4 else change(x)


def project(difference: Tensor, subspace: Tensor) -> Tensor:
    """The part of ``difference (…, d)`` inside the span of orthonormal columns ``(d, r)``: difference·U·Uᵀ."""
    u = subspace.to(difference.device, difference.dtype)
    return difference @ u @ u.T


def unit_interval(images: Tensor) -> Tensor:
    """Images as floats in [0, 1]: clean uint8 images can then stand in one tensor with triggered ones."""
    return images.float() / 255 if images.dtype == torch.uint8 else images


def activations(
    encoder: Encoder,
    images: Tensor,
    layers: Sequence[str],
    *,
    transform: Change | None = None,
    batch_size: int | None = None,
) -> dict[str, Tensor]:
    """Outputs of layers as they are: layer → ``(n, …)``, on the encoder's device.

    :func:`..representations.capture.capture` averages over positions. This does not: n images of a map need n·d·h·w
    numbers a layer.

    Args:
        images: uint8 or float in [0, 1], ``(n, 3, H, W)``. transform: of the float batch, for example a trigger.

    Raises:
        InputError: no images or layers, or an unknown layer.
    """
    parts: dict[str, list[Tensor]] = {layer: [] for layer in layers}

    def keep(layer: str) -> Callable[[nn.Module, object, object], None]:
        def hook(_module: nn.Module, _inputs: object, output: object) -> None:
            parts[layer].append(_one_tensor(layer, output).clone())  # a later in-place ReLU would overwrite it

        return hook

    handles = []
    try:
        for layer in parts:
            handles.append(_module_of(encoder, layer).register_forward_hook(keep(layer)))
        _forward(encoder, images, transform, batch_size)
    finally:
        for handle in handles:
            handle.remove()
    for layer, chunks in parts.items():
        if sum(map(len, chunks)) != len(images):
            ran = sum(map(len, chunks)) / len(images)
            raise InputError(f"layer {layer}: expected one output an image, received {ran:g}")
    return {layer: torch.cat(chunks) for layer, chunks in parts.items()}


def cuts(encoder: Encoder, layer: str, images: Tensor) -> bool:
    """Whether the features depend on the images through this layer's output only.

    Then a run from the layer needs no images. It is false of a block inside a residual connection, and where the number
    of images is used behind the layer. Tested by running from the activations of three images with two blank ones as
    input.
    """
    if layer == FEATURES:
        return True
    chosen = images[torch.arange(3) % len(images)]
    found = activations(encoder, chosen, [layer, FEATURES])
    try:
        again = _run_batch(encoder, layer, found[layer], torch.zeros_like(_as_float(encoder, chosen[:2])))
    except (RuntimeError, ValueError, InputError):  # two rows met three: the input is used behind the layer
        return False
    return again.shape == found[FEATURES].shape and torch.allclose(again, found[FEATURES], rtol=1e-4, atol=1e-5)


def run_from(
    encoder: Encoder,
    layer: str,
    values: Tensor,
    images: Tensor,
    *,
    alone: bool = False,
    batch_size: int | None = None,
) -> Tensor:
    """Features ``(m, d)`` when the output of ``layer`` is ``values (m, …)`` and the input is ``images (m, 3, H, W)``.

    ``alone``: the layer cuts the network (:func:`cuts`). The images then do not matter, and the layers before it see
    two blank images a batch instead.
    """
    if layer == FEATURES:
        return values.float().cpu()
    if not alone and len(images) != len(values):
        raise InputError(f"images: expected {len(values)}, one for each row of values, received {len(images)}")
    size = batch_size or _batch(encoder)
    blank = torch.zeros_like(_as_float(encoder, images[:2]))
    inputs = [blank] * -(-len(values) // size) if alone else images.split(size)
    return torch.cat([_run_batch(encoder, layer, v, x) for v, x in zip(values.split(size), inputs, strict=True)])


def run_edited(
    encoder: Encoder,
    layer: str,
    values: Tensor,
    images: Tensor,
    changes: Sequence[Change],
    *,
    alone: bool,
) -> Tensor:
    """Features ``(k, m, d)`` under k changes of the channel vectors at every position of ``values``."""
    parts = []
    for change in changes:
        parts.append(run_from(encoder, layer, at_every_position(values, change), images, alone=alone))
    return torch.stack(parts)


def patch(
    encoder: Encoder,
    layer: str,
    source: Tensor,
    target: Tensor,
    *,
    subspace: Tensor | None = None,
    channels: Tensor | Sequence[int] | None = None,
    batch_size: int | None = None,
) -> Tensor:
    """Features of the images ``target`` when activations of the images ``source`` replace theirs at one layer.

    Row i of ``source`` goes into row i of ``target``, at every position: h ← h_t + (h_s − h_t)·U·Uᵀ.

    Args:
        source, target: images of equal shape, uint8 or float in [0, 1], ``(n, 3, H, W)``.
        subspace: orthonormal columns U ``(d, r)`` in the space of the layer's channels. The part of the difference
            outside their span is not replaced.
        channels: indices of the channels that are replaced, or a mask of them, bool ``(d,)``. Not with ``subspace``;
            without both the whole output is replaced.

    Returns:
        float32 ``(n, d)`` on the CPU.

    Raises:
        InputError: an unknown layer, unequal shapes, a basis that is not orthonormal or of another width, channels out
            of range.

    Cost: two forward passes.

    >>> from intertwine.representations import EncoderSpec, build_encoder
    >>> encoder = build_encoder(EncoderSpec("resnet8", width=4, image_size=8))
    >>> images = torch.arange(2 * 192).view(2, 3, 8, 8).to(torch.uint8)
    >>> whole = patch(encoder, "layer2", images[:1], images[1:])
    >>> bool((whole - patch(encoder, "stem", images[:1], images[:1])).abs().max() < 1e-5)
    True
    """
    if source.shape != target.shape:
        raise InputError(
            f"source, target: expected equal shapes, received {tuple(source.shape)}, {tuple(target.shape)}"
        )
    if subspace is not None and channels is not None:
        raise InputError("subspace, channels: expected at most one of the two, received both")
    size = batch_size or _batch(encoder)
    parts = []
    for sources, targets in zip(source.split(size), target.split(size), strict=True):
        theirs = activations(encoder, sources, [layer])[layer]

        def mix(own: Tensor, theirs: Tensor = theirs) -> Tensor:
            if own.shape != theirs.shape:
                raise InputError(f"layer {layer}: expected {tuple(own.shape)}, received {tuple(theirs.shape)}")
            return _mixed(own, theirs, layer, subspace, channels)

        with replacing(encoder, layer, mix):
            parts.append(_forward(encoder, targets, None, None))
    if not parts:
        raise InputError("target: expected at least one image, received none")
    return torch.cat(parts)


def _mixed(
    own: Tensor, theirs: Tensor, layer: str, subspace: Tensor | None, channels: Tensor | Sequence[int] | None
) -> Tensor:
    d = own.shape[1] if own.ndim == 4 else own.shape[-1]
    if channels is not None:
        replaced = _mask(channels, d, layer).to(own.device)
        return torch.where(replaced.view(-1, 1, 1) if own.ndim == 4 else replaced, theirs, own)
    if subspace is None:
        return theirs
    check_subspace(subspace, d, layer)
    return own + at_every_position(theirs - own, lambda difference: project(difference, subspace))


def check_subspace(subspace: Tensor, d: int, layer: str) -> None:
    """Raise :class:`InputError` unless ``subspace`` has orthonormal columns ``(d, r)``."""
    if subspace.ndim != 2 or subspace.shape[0] != d or not 1 <= subspace.shape[1] <= d:
        received = tuple(subspace.shape)
        raise InputError(f"subspace: expected ({d}, r) with 1 ≤ r ≤ {d} at {layer}, received {received}")
    u = subspace.double()
    error = (u.T @ u - torch.eye(u.shape[1], dtype=u.dtype, device=u.device)).abs().max()
    if not error <= ORTHONORMAL:  # NaN is refused too
        raise InputError(f"subspace: expected orthonormal columns, received UᵀU off by {float(error):.3g}")


def _mask(channels: Tensor | Sequence[int], d: int, layer: str) -> Tensor:
    index = torch.as_tensor(channels)
    if index.dtype == torch.bool:
        if index.shape != (d,):
            raise InputError(f"channels: expected a mask of shape ({d},) at {layer}, received {tuple(index.shape)}")
        return index
    if index.ndim != 1 or index.is_floating_point() or not ((index >= 0) & (index < d)).all():
        raise InputError(f"channels: expected whole numbers from 0 to {d - 1} at {layer}, received {channels}")
    mask = torch.zeros(d, dtype=torch.bool)
    mask[index.long()] = True
    return mask


def _forward(encoder: Encoder, images: Tensor, transform: Change | None, batch_size: int | None) -> Tensor:
    if len(images) == 0:
        raise InputError("images: expected at least one image, received none")
    parts = []
    with evaluating(encoder), torch.no_grad():
        for batch in images.split(batch_size or _batch(encoder)):
            x = _as_float(encoder, batch)
            parts.append(encoder(transform(x) if transform else x).float().cpu())
    return torch.cat(parts)


def _run_batch(encoder: Encoder, layer: str, values: Tensor, images: Tensor) -> Tensor:
    with replacing(encoder, layer, lambda _: values.clone()):  # an in-place ReLU would overwrite the caller's
        return _forward(encoder, images, None, len(images))


def _as_float(encoder: Encoder, images: Tensor) -> Tensor:
    return unit_interval(images.to(encoder.mean.device))


def _batch(encoder: Encoder) -> int:
    return BATCH_CPU if encoder.mean.device.type == "cpu" else BATCH


def _module_of(encoder: Encoder, layer: str) -> nn.Module:
    if layer not in encoder.layers:
        raise InputError(f"layer: expected one of {', '.join(encoder.layers)}, received {layer}")
    return encoder if layer == FEATURES else encoder.backbone.get_submodule(encoder.layer_modules[layer])


def _one_tensor(layer: str, output: object) -> Tensor:
    if not isinstance(output, Tensor):
        raise InputError(f"layer {layer}: expected one tensor as output, received {type(output).__name__}")
    return output
