"""Image encoders: a backbone with its normalisation and its named layers.

Normalisation is part of the encoder: every function of the toolkit takes images, and no caller normalises.
Parameter names follow torchvision's ResNet (``conv1``, ``bn1``, ``layer1.0.conv1`` …).
"""

import copy
import math
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from typing import Protocol, runtime_checkable

import torch
from torch import Tensor, nn
from torch.nn.functional import pad
from torchvision.models.resnet import BasicBlock

from .errors import InputError
from .seeds import derive_seed

__all__ = ["ARCHITECTURES", "FEATURES", "Encoder", "EncoderSpec", "build_encoder", "reinitialised", "wrap"]

FEATURES = "features"
"""Name of the last layer: the encoder's output, which every loss and evaluator receives."""

# arch: (width multiples of the stages, blocks in each, stride of each). All have a 3×3 stem without max-pooling. The
# ImageNet stem shrinks images of 32×32 to 8×8 before the first block, and SimCLR then learns little.
ARCHITECTURES: dict[str, tuple[tuple[int, ...], tuple[int, ...], tuple[int, ...]]] = {
    "resnet8": ((2, 4, 8), (1, 1, 1), (2, 2, 2)),
    "resnet18": ((1, 2, 4, 8), (2, 2, 2, 2), (1, 2, 2, 2)),
    "resnet20": ((1, 2, 4), (3, 3, 3), (1, 2, 2)),
    "resnet56": ((1, 2, 4), (9, 9, 9), (1, 2, 2)),
}
LARGEST_STD = 2.0
"""Of pixels in [0, 1] it is at most .5; some divide by 1. Numbers for pixels up to 255 are larger."""
WITHOUT_PROJECTION = ("resnet20", "resnet56")
"""Networks of He et al. (CVPR 2016) for CIFAR, width 16: their shortcuts have no weights (option A)."""


@dataclass(frozen=True)
class EncoderSpec:
    """What is needed to build an encoder again, except its weights. ``mean`` and ``std``: of a channel, in [0, 1]."""

    arch: str = "resnet18"
    width: int = 64
    image_size: int = 32
    mean: tuple[float, float, float] = (0.5, 0.5, 0.5)
    std: tuple[float, float, float] = (0.25, 0.25, 0.25)

    def __post_init__(self) -> None:
        if not isinstance(self.arch, str) or self.arch not in ARCHITECTURES:
            raise InputError(f"arch: expected one of {', '.join(ARCHITECTURES)}, received {self.arch!r}")
        for name, low, high in (("width", 1, 1024), ("image_size", 8, 1024)):
            value = getattr(self, name)
            if type(value) is not int or not low <= value <= high:
                raise InputError(f"{name}: expected a whole number from {low} to {high}, received {value!r}")
        if self.arch in WITHOUT_PROJECTION and self.width % 2:
            raise InputError(f"width: expected an even number for {self.arch}, received {self.width}")
        for name in ("mean", "std"):
            value = getattr(self, name)
            if not isinstance(value, list | tuple) or len(value) != 3 or not all(_is_number(v) for v in value):
                what = (
                    "three positive numbers"
                    if name == "std" and isinstance(value, list | tuple) and len(value) == 3
                    else "three numbers"
                )
                raise InputError(f"{name}: expected {what}, received {value!r}")
        if min(self.std) < 1e-6:
            raise InputError(f"std: expected three positive numbers, received {self.std!r}")

    def to_dict(self) -> dict[str, object]:
        return asdict(self)

    @classmethod
    def from_dict(cls, values: Mapping[str, object]) -> "EncoderSpec":
        unknown = set(values) ^ set(cls.__dataclass_fields__)
        if unknown:
            raise InputError(
                f"encoder spec: expected the fields {', '.join(cls.__dataclass_fields__)}, received {', '.join(values)}"
            )
        # JSON knows lists only.
        return cls(**{k: tuple(v) if isinstance(v, list) else v for k, v in values.items()})  # type: ignore[arg-type]


def _check_statistics(name: str, values: object, low: float, high: float) -> None:
    """Three numbers of a normalisation of pixels in [0, 1]."""
    given = isinstance(values, list | tuple) and len(values) == 3 and all(_is_number(v) for v in values)
    if not given or not all(low <= float(v) <= high for v in values):  # type: ignore[attr-defined]
        raise InputError(
            f"{name}: expected three numbers from {low:g} to {high:g}, for pixels in [0, 1], received {values!r}"
        )


def _is_number(value: object) -> bool:
    return type(value) in (int, float) and math.isfinite(float(str(value)))


class _Padded(nn.Module):
    """Every ``step``-th pixel, with ``channels`` channels of zeros before and after its own."""

    def __init__(self, step: int, channels: int) -> None:
        super().__init__()
        self.step, self.channels = step, channels

    def forward(self, x: Tensor) -> Tensor:
        return pad(x[:, :, :: self.step, :: self.step], (0, 0, 0, 0, self.channels, self.channels))


class ResNet(nn.Module):
    """A ResNet of basic blocks with CIFAR stem. Maps float images ``(n, 3, H, W)`` to ``(n, d)``."""

    def __init__(self, arch: str, width: int) -> None:
        super().__init__()
        multiples, blocks, strides = ARCHITECTURES[arch]
        self.conv1 = nn.Conv2d(3, width, 3, padding=1, bias=False)
        self.bn1 = nn.BatchNorm2d(width)
        self.relu = nn.ReLU()
        self.stages = []
        channels = width
        for i, (multiple, count, stride) in enumerate(zip(multiples, blocks, strides, strict=True), start=1):
            stage = nn.Sequential()
            for b in range(count):
                out, step = multiple * width, stride if b == 0 else 1
                shortcut: nn.Module | None = None
                if step != 1 or channels != out:
                    shortcut = (
                        _Padded(step, (out - channels) // 2)
                        if arch in WITHOUT_PROJECTION
                        else nn.Sequential(nn.Conv2d(channels, out, 1, step, bias=False), nn.BatchNorm2d(out))
                    )
                stage.append(BasicBlock(channels, out, step, shortcut))
                channels = out
            self.add_module(f"layer{i}", stage)
            self.stages.append(f"layer{i}")
        self.avgpool = nn.AdaptiveAvgPool2d(1)
        self.dim = channels
        for module in self.modules():
            if isinstance(module, nn.Conv2d):
                nn.init.kaiming_normal_(module.weight, mode="fan_out", nonlinearity="relu")

    def forward(self, x: Tensor) -> Tensor:
        x = self.relu(self.bn1(self.conv1(x)))
        for name in self.stages:
            x = getattr(self, name)(x)
        return self.avgpool(x).flatten(1)


class Encoder(nn.Module):
    """A backbone that takes images: uint8, or float in [0, 1], ``(n, 3, H, W)`` → features ``(n, d)``.

    Args:
        backbone: maps normalised float images to ``(n, d)``.
        layers: name of a layer → name of the backbone's submodule with that output, in order of depth.
            The layer ``"features"``, the encoder's output, is always present and comes last.
        spec: how to build the encoder again; ``None`` for a wrapped foreign module.
        tokens: what to take of an output with tokens ``(n, t, d)``: the first (``"cls"``) or their ``"mean"``.
        rebuild: makes the backbone with fresh random weights, for a foreign module.
    """

    mean: Tensor
    std: Tensor

    def __init__(
        self,
        backbone: nn.Module,
        layers: Mapping[str, str],
        *,
        mean: tuple[float, ...] = (0.0, 0.0, 0.0),
        std: tuple[float, ...] = (1.0, 1.0, 1.0),
        spec: EncoderSpec | None = None,
        tokens: str = "cls",
        rebuild: Callable[[], nn.Module] | None = None,
    ) -> None:
        super().__init__()
        if tokens not in ("cls", "mean"):
            raise InputError(f"tokens: expected 'cls' or 'mean', received {tokens!r}")
        known = dict(backbone.named_modules())
        for layer, name in layers.items():
            if name not in known or not name:
                raise InputError(f"layers: expected names of the backbone's submodules, received {layer!r}: {name!r}")
        if FEATURES in layers:
            raise InputError(f"layers: {FEATURES!r} is the encoder's own output and cannot be given")
        self.backbone = backbone
        self.layer_modules = dict(layers)
        self.spec = spec
        self.tokens = tokens
        self.rebuild = rebuild
        for name, values, valid in (("mean", mean, (0.0, 1.0)), ("std", std, (1e-6, LARGEST_STD))):
            _check_statistics(name, values, *valid)
            statistics = torch.tensor([float(v) for v in values]).view(1, -1, 1, 1)
            self.register_buffer(name, statistics, persistent=False)

    @property
    def layers(self) -> tuple[str, ...]:
        """Names of the layers, in order of depth; the last is ``"features"``."""
        return (*self.layer_modules, FEATURES)

    @property
    def dim(self) -> int:
        """Number of features, for encoders with a spec."""
        if not isinstance(self.backbone, ResNet):
            raise InputError("encoder: a wrapped foreign module does not report its dimension")
        return self.backbone.dim

    def forward(self, images: Tensor) -> Tensor:
        if images.ndim != 4 or images.shape[1] != 3:
            raise InputError(f"images: expected shape (n, 3, H, W), received {tuple(images.shape)}")
        if images.dtype != torch.uint8 and not images.dtype.is_floating_point:
            raise InputError(f"images: expected uint8, or floats in [0, 1], received {images.dtype}")
        x = images.float() / 255 if images.dtype == torch.uint8 else images.to(self.mean.dtype)
        return self.backbone((x - self.mean) / self.std)


@runtime_checkable
class _Resettable(Protocol):
    """PyTorch's convention for modules that can draw their weights again."""

    def reset_parameters(self) -> None: ...


@contextmanager
def _seeded(seed: int) -> Iterator[None]:
    """Seed the CPU's global stream inside, and restore it afterwards; the streams of accelerators are not touched."""
    with torch.random.fork_rng(devices=[]):
        torch.default_generator.manual_seed(seed)
        yield


def build_encoder(spec: EncoderSpec, *, seed: int = 0) -> Encoder:
    """Build a new encoder with random weights, a function of ``seed`` only.

    >>> encoder = build_encoder(EncoderSpec("resnet8", width=8, image_size=16))
    >>> encoder(torch.zeros(2, 3, 16, 16)).shape, encoder.layers
    (torch.Size([2, 64]), ('stem', 'layer1', 'layer2', 'layer3', 'features'))
    """
    with _seeded(derive_seed(seed, "init")):
        backbone = ResNet(spec.arch, spec.width)
    layers = {"stem": "relu"} | {name: name for name in backbone.stages}
    return Encoder(backbone, layers, mean=spec.mean, std=spec.std, spec=spec)


def wrap(
    module: nn.Module,
    *,
    layers: Mapping[str, str] | None = None,
    mean: tuple[float, ...] = (0.0, 0.0, 0.0),
    std: tuple[float, ...] = (1.0, 1.0, 1.0),
    tokens: str = "cls",
    rebuild: Callable[[], nn.Module] | None = None,
) -> Encoder:
    """Make an encoder of any module that maps normalised float images ``(n, 3, H, W)`` to features ``(n, d)``.

    ``rebuild`` makes the module with fresh weights. The ``random-init`` reference needs it for modules that cannot be
    reset part by part (transformers).

    >>> vit = nn.Sequential(nn.Unflatten(2, (2, 4)), nn.Flatten(3), nn.Flatten(2), nn.Flatten(1))
    >>> wrap(vit, layers={"tokens": "2"}).layers
    ('tokens', 'features')
    """
    return Encoder(module, layers or {}, mean=mean, std=std, tokens=tokens, rebuild=rebuild)


def reinitialised(encoder: Encoder, *, seed: int = 0) -> Encoder:
    """Make a copy with fresh random weights: the ``random-init`` reference. The encoder itself does not change.

    Raises:
        InputError: a foreign module has weights in modules without ``reset_parameters``. A copy that keeps some
            trained weights would be no reference.
    """
    if encoder.spec is not None:
        return build_encoder(encoder.spec, seed=derive_seed(seed, "random-init")).to(next(encoder.parameters()).device)
    fresh = copy.deepcopy(encoder)
    if encoder.rebuild is not None:
        with _seeded(derive_seed(seed, "random-init")):
            fresh.backbone = encoder.rebuild().to(encoder.mean.device).train(encoder.training)
        return fresh
    with _seeded(derive_seed(seed, "random-init")):
        for name, module in fresh.named_modules():
            if isinstance(module, _Resettable):
                module.reset_parameters()
            elif next(module.parameters(recurse=False), None) is not None:
                raise InputError(f"encoder: {name} ({type(module).__name__}) has weights but no reset_parameters()")
    return fresh
