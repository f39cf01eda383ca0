"""Load a foreign encoder: the format is found from the content, and weights are loaded strictly by name."""

import re
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn
from torchvision.transforms import Resize

from ..representations.encoders import FEATURES, Encoder, wrap
from ..representations.errors import InputError
from .adapters import ADAPTERS, Recognised
from .architectures import HEADS, Architecture, by_name, by_weights, outline, resized
from .archives import read_archive

__all__ = ["Loaded", "load_foreign"]

Statistics = tuple[float, float, float]


@dataclass(frozen=True)
class Loaded:
    """A foreign encoder in evaluation mode, and how it was loaded.

    ``format``: of the file. ``arch``: the architecture. ``loaded``: the number of loaded tensors. ``dropped``: names of
    other tensors. ``dim``: of the features. ``mean``, ``std``: the normalisation of pixels in [0, 1]. ``resize``: the
    side to which the network resizes its images, 0 if it does not.
    """

    encoder: Encoder
    format: str
    arch: str
    loaded: int
    dropped: tuple[str, ...]
    dim: int
    mean: Statistics
    std: Statistics
    image_size: int
    resize: int = 0

    def lines(self) -> list[str]:
        """A summary for a terminal."""
        heads = sorted({re.sub(r"\.(weight|bias|running_.*|num_batches_tracked)$", "", name) for name in self.dropped})
        shown = ", ".join(heads[:8]) + (f" and {len(heads) - 8} more" if len(heads) > 8 else "")
        return [
            f"format {self.format}, architecture {self.arch}: {self.loaded} tensors loaded by name",
            f"dropped: {shown or 'nothing'}",
            f"layer {FEATURES!r} with {self.dim} features; others: {', '.join(self.encoder.layers[:-1]) or 'none'}",
            f"pixels in [0, 1] minus {_numbers(self.mean)} over {_numbers(self.std)}; {self.image_size} pixels a side"
            + (f", resized to {self.resize} in the network" if self.resize else ""),
        ]


def load_foreign(
    path: Path | str,
    *,
    arch: str | None = None,
    mean: Statistics | None = None,
    std: Statistics | None = None,
    image_size: int | None = None,
    tokens: str | None = None,
    resize: int | None = None,
) -> Loaded:
    """Load the encoder in a file of a format in :data:`.adapters.ADAPTERS`.

    Args:
        path: safetensors, or a file of ``torch.save`` (none of its code is run; see :mod:`.archives`).
        arch: see :func:`.architectures.by_name`; by default found from the weights of a ResNet.
        mean, std: the normalisation in training; by default the usual one of the architecture.
        tokens: of a transformer's blocks: ``cls`` (the default) or the ``mean`` of all tokens.
        resize: side in pixels to which the network resizes its images before its first layer; none by default.

    Raises:
        InputError: the errors of :func:`.archives.read_archive`; no state dict; weights that are missing, left over or
            of other shapes than the architecture's, by name; NaN or infinite weights.
    """
    payload = read_archive(path)
    found = next((f for find in ADAPTERS if (f := find(payload)) is not None), None)
    if found is None:
        inside = ", ".join(map(str, payload)) if isinstance(payload, Mapping) else type(payload).__name__
        raise InputError(
            f"checkpoint: {path}: expected a state dict somewhere in it, received {inside[:200] or 'nothing'}"
        )
    if arch is not None:
        known = by_name(arch)
    elif found.arch:
        known = by_name(found.arch)
    else:
        known = by_weights(found.weights, stem=found.stem)
    module, weights, dropped = _fitted(known, found, path)
    size = image_size or found.image_size or known.image_size
    side = resize or found.resize
    for what, pixels in (("image_size", size), ("resize", side or size)):
        if not 8 <= pixels <= 1024:
            raise InputError(f"{what}: expected 8 to 1024 pixels, received {pixels}")
    if side:
        known = resized(known, side)
        module = nn.Sequential(Resize((side, side), antialias=True), module)
    statistics = mean or known.statistics[0], std or known.statistics[1]
    about: dict[str, Any] = {"layers": known.layer_modules, "mean": statistics[0], "std": statistics[1]}
    encoder = wrap(module, **about, tokens=tokens or "cls", rebuild=known.build).eval()
    dim = _dim(encoder, size, path)
    return Loaded(encoder, found.format, known.name, len(weights), dropped, dim, *statistics, size, side)


def _fitted(
    known: Architecture, found: Recognised, path: Path | str
) -> tuple[nn.Module, dict[str, Tensor], tuple[str, ...]]:
    """The backbone with its weights, the loaded tensors, and all dropped names."""
    expected = outline(known.build).state_dict()
    weights, dropped = {}, list(found.dropped)
    for name, value in found.weights.items():
        own = name
        for pattern, replacement in known.renamed:
            own = re.sub(pattern, replacement, own)
        if own not in expected and own.partition(".")[0] in HEADS:
            dropped.append(name)
        else:
            weights[own] = value
    # Counts of batches have no effect in evaluation, and old files lack them.
    missing = [n for n in expected if n not in weights and not n.endswith("num_batches_tracked")]
    extra = [n for n in weights if n not in expected]
    if missing or extra:
        parts = [
            f"{len(names)} {what}: {', '.join(names[:6])}{', …' if len(names) > 6 else ''}"
            for names, what in ((missing, "missing"), (extra, "that it has not"))
            if names
        ]
        raise InputError(f"checkpoint: {path}: expected the weights of {known.name}, received {'; '.join(parts)}")
    for name, value in weights.items():
        if value.shape != expected[name].shape:
            raise InputError(
                f"checkpoint: {path}: {name}: expected shape {tuple(expected[name].shape)} in {known.name}, "
                f"received {tuple(value.shape)}"
            )
        if value.is_floating_point() and not torch.isfinite(value.float()).all():
            raise InputError(f"checkpoint: {path}: {name} holds NaN or infinity")
    module = known.build()
    module.load_state_dict({name: value.to(expected[name].dtype) for name, value in weights.items()}, strict=False)
    return module, weights, tuple(dropped)


def _dim(encoder: Encoder, size: int, path: Path | str) -> int:
    """The width of the features of one grey image, which also tests that the encoder runs."""
    try:
        with torch.inference_mode():
            features = encoder(torch.full((1, 3, size, size), 0.5))
    except (RuntimeError, AssertionError, ValueError) as error:
        why = " ".join(str(error).split())[:200]
        raise InputError(f"checkpoint: {path}: images of {size} pixels do not go through it: {why}") from None
    if features.ndim != 2:
        raise InputError(f"checkpoint: {path}: expected features (n, d), received {tuple(features.shape)}")
    return features.shape[1]


def _numbers(values: Statistics) -> str:
    return "(" + ", ".join(f"{v:g}" for v in values) + ")"
