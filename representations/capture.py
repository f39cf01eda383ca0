"""Activations at the layers of an encoder. The encoder is left as it was."""

from collections.abc import Callable, Generator, Iterator, Sequence
from contextlib import closing, contextmanager

import torch
from torch import Tensor, nn

from .checks import check_range
from .encoders import FEATURES, Encoder
from .errors import InputError

__all__ = ["capture", "capture_batches", "evaluating", "recording"]

# A CPU's cache holds no more: with 500 images of 32×32 in a batch, a ResNet-18 takes 1.3 times as long.
BATCH, BATCH_CPU = 512, 64


@contextmanager
def evaluating(module: nn.Module) -> Iterator[None]:
    """Set evaluation mode inside, and restore the mode of every submodule afterwards."""
    modes = {m: m.training for m in module.modules()}
    module.eval()
    try:
        yield
    finally:
        for m, mode in modes.items():
            m.training = mode


@contextmanager
def recording(encoder: Encoder, layers: Sequence[str]) -> Iterator[dict[str, Tensor]]:
    """Record the outputs of ``layers``: inside, each forward pass writes them into the dictionary that this yields.

    Of an inner output with tokens ``(n, t, d)`` the encoder's choice ``(n, d)`` is recorded. The hooks are removed on
    the way out.
    """
    if unknown := [name for name in layers if name not in encoder.layers]:
        raise InputError(f"layers: expected some of {', '.join(encoder.layers)}, received {', '.join(unknown)}")
    outputs: dict[str, Tensor] = {}

    def record(name: str) -> Callable[[nn.Module, object, object], None]:
        def hook(_module: nn.Module, _inputs: object, output: object) -> None:
            if not isinstance(output, Tensor):
                raise InputError(f"layer {name}: expected one tensor as output, received {type(output).__name__}")
            if output.ndim == 3 and name != FEATURES:
                output = output[:, 0] if encoder.tokens == "cls" else output.mean(1)
            outputs[name] = output.clone()  # a later in-place ReLU would overwrite the original

        return hook

    handles = []
    try:
        for name in layers:
            module = encoder if name == FEATURES else encoder.backbone.get_submodule(encoder.layer_modules[name])
            handles.append(module.register_forward_hook(record(name)))
        yield outputs
    finally:
        for handle in handles:
            handle.remove()


def capture_batches(
    encoder: Encoder,
    images: Tensor,
    *,
    layers: Sequence[str] | None = None,
    transform: Callable[[Tensor], Tensor] | None = None,
    batch_size: int | None = None,
) -> Generator[dict[str, Tensor], None, None]:
    """Yield what ``capture`` returns, a batch of images at a time: layer → float32 ``(b, d)`` on the encoder's device.

    For statistics that need not store every activation. Until the generator is exhausted or closed, the hooks stay on
    the encoder and it stays in evaluation mode.
    """
    if len(images) == 0:
        raise InputError("images: expected at least one image, received none")
    check_range("images", images)
    layers = tuple(layers) if layers is not None else encoder.layers
    device = encoder.mean.device
    batch_size = batch_size or (BATCH_CPU if device.type == "cpu" else BATCH)
    with evaluating(encoder), recording(encoder, layers) as outputs:
        for batch in images.split(batch_size):
            with torch.inference_mode():  # not around the yield: the caller's code may need gradients
                x = batch.to(device)
                x = x.float() / 255 if x.dtype == torch.uint8 else x
                encoder(transform(x) if transform else x)
                pooled = {name: _pooled(name, outputs[name].float()) for name in layers}
            # Cloned outside inference mode, so that callers may use the result in autograd.
            yield {name: x.clone() for name, x in pooled.items()}


def _pooled(layer: str, x: Tensor) -> Tensor:
    x = x.mean((2, 3)) if x.ndim == 4 else x
    if x.ndim != 2:
        raise InputError(f"layer {layer}: expected an output (n, d) or (n, d, h, w), received {tuple(x.shape)} pooled")
    if not torch.isfinite(x).all():
        raise InputError(f"layer {layer}: expected finite activations, received NaN or infinity")
    return x


def capture(
    encoder: Encoder,
    images: Tensor,
    *,
    layers: Sequence[str] | None = None,
    transform: Callable[[Tensor], Tensor] | None = None,
    batch_size: int | None = None,
) -> dict[str, Tensor]:
    """Compute the activations of every image at every layer, averaged over positions.

    Args:
        images: uint8 or float in [0, 1], ``(n, 3, H, W)``, on any device.
        layers: names of layers; all by default.
        transform: applied to the float batch in [0, 1] on the encoder's device, for example a trigger.
        batch_size: images in one forward pass; by default as many as run fast.

    Returns:
        layer → float32 ``(n, d)`` on the CPU: spatial maps ``(n, d, h, w)`` are averaged over ``h, w``.

    Raises:
        InputError: no images, floats outside [0, 1], an unknown layer, or an activation that is not finite.
    """
    parts: dict[str, list[Tensor]] = {}
    batches = capture_batches(encoder, images, layers=layers, transform=transform, batch_size=batch_size)
    with closing(batches):
        for batch in batches:
            for name, x in batch.items():
                parts.setdefault(name, []).append(x.cpu())
    return {name: torch.cat(chunks) for name, chunks in parts.items()}
