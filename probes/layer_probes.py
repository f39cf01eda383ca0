"""Logistic probes of a frozen encoder, layer by layer, from images."""

import hashlib
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager

import torch
from torch import Tensor, nn

from ..representations.capture import capture
from ..representations.encoders import Encoder
from ..representations.errors import InputError
from .logistic import ProbeResult, class_probe, trigger_probe

__all__ = ["class_probes", "frozen", "trigger_probes"]

Transform = Callable[[Tensor], Tensor]


@contextmanager
def frozen(module: nn.Module) -> Iterator[None]:
    """Require that a module does not change inside: its weights, buffers, modes and ``requires_grad``, to the bit.

    Raises:
        InputError: on the way out, if something has changed. A probe must not change the encoder that it measures.
    """
    before = _fingerprints(module)
    yield
    after = _fingerprints(module)
    if changed := [name for name in before | after if before.get(name) != after.get(name)]:
        raise InputError(f"encoder: expected a forward pass that leaves it as it is, received a change in {changed[0]}")


def _fingerprints(module: nn.Module) -> dict[str, object]:
    found: dict[str, object] = {f"{name} (mode)": m.training for name, m in module.named_modules()}
    for name, tensor in [*module.named_parameters(), *module.named_buffers()]:
        raw = tensor.detach().cpu().contiguous().flatten().view(torch.uint8)
        found[name] = (hashlib.sha256(raw.numpy().tobytes()).digest(), tensor.requires_grad, tensor.grad is None)
    return found


def class_probes(
    encoder: Encoder,
    images: Tensor,
    labels: Tensor,
    *,
    layers: Sequence[str] | None = None,
    transform: Transform | None = None,
    folds: int = 5,
    controls: int = 1,
    penalty: float = 1e-2,
    seed: int = 0,
) -> dict[str, ProbeResult]:
    """:func:`.logistic.class_probe` at every layer (or at ``layers``), from images ``(n, 3, H, W)``.

    ``transform``: a trigger, for the source class of triggered images. The encoder must not change (:func:`frozen`).
    """
    with frozen(encoder):
        features = capture(encoder, images, layers=layers, transform=transform)
    return {
        name: class_probe(x, labels, folds=folds, controls=controls, penalty=penalty, seed=seed)
        for name, x in features.items()
    }


def trigger_probes(
    encoder: Encoder,
    images: Tensor,
    trigger: Transform,
    *,
    layers: Sequence[str] | None = None,
    folds: int = 5,
    controls: int = 1,
    penalty: float = 1e-2,
    seed: int = 0,
) -> dict[str, ProbeResult]:
    """:func:`.logistic.trigger_probe` at every layer (or at ``layers``), from images ``(n, 3, H, W)``.

    The encoder gets each image with and without the trigger. It must not change (:func:`frozen`).
    """
    with frozen(encoder):
        clean = capture(encoder, images, layers=layers)
        triggered = capture(encoder, images, layers=layers, transform=trigger)
    return {
        name: trigger_probe(clean[name], triggered[name], folds=folds, controls=controls, penalty=penalty, seed=seed)
        for name in clean
    }
