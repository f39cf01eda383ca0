"""Backbones by name, or by the names and shapes of their weights, without their classifier."""

import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

import torch
from torch import Tensor, nn
from torchvision import models
from torchvision.models.resnet import BasicBlock, Bottleneck, ResNet
from torchvision.transforms import Resize

from ..representations.encoders import ARCHITECTURES
from ..representations.encoders import WITHOUT_PROJECTION as THIN
from ..representations.encoders import ResNet as CifarResNet
from ..representations.errors import InputError
from .preact import PreActBlock, PreActResNet

__all__ = ["Architecture", "by_name", "by_weights", "outline", "resized"]

IMAGENET = ((0.485, 0.456, 0.406), (0.229, 0.224, 0.225))
HEADS = ("fc", "classifier", "head", "heads", "linear", "head_dist")
CIFAR10 = ((0.4914, 0.4822, 0.4465), (0.247, 0.243, 0.261))
STEMS = {"": (1, True), "-pad2": (2, True), "-norelu": (1, False)}
"""Variants of 3×3 stems, by the end of their name: padding, and whether a ReLU follows the first normalisation."""
BLOCKS: dict[tuple[str, tuple[int, ...]], str] = {
    **{("basic", (2, 2, 2, 2)): "resnet18", ("basic", (3, 4, 6, 3)): "resnet34"},
    **{("bottleneck", (3, 4, 6, 3)): "resnet50", ("bottleneck", (3, 4, 23, 3)): "resnet101"},
    **{("bottleneck", (3, 8, 36, 3)): "resnet152"},
}


@dataclass(frozen=True)
class Architecture:
    """``build``: makes the backbone with random weights, images → features. ``layer_modules``: layer → submodule.
    ``renamed``: pattern → replacement, from names in a file to the backbone's. ``statistics``: mean and standard
    deviation in training, most likely. ``image_size``: the usual one."""

    name: str
    build: Callable[[], nn.Module]
    layer_modules: dict[str, str]
    statistics: tuple[tuple[float, float, float], tuple[float, float, float]]
    image_size: int
    renamed: tuple[tuple[str, str], ...] = ()


def by_name(name: str) -> Architecture:
    """The architecture of that name.

    - ``resnet18-cifar``: 3×3 stem, no max-pooling; also 34, 50, 101, 152. ``-pad2`` is solo-learn's, whose stem is
      padded by two pixels. ``-norelu`` is that of lightly's generator as a sequence of modules, which lacks the first
      ReLU.
    - ``resnet20``, ``resnet56``: those of He et al. (2016) for CIFAR, width 16, whose shortcuts have no weights.
    - ``preactresnet18``, ``preactresnet34``: BackdoorBench's.
    - a name of torchvision's or timm's: ``timm:NAME``, or NAME where torchvision has none.

    Raises:
        InputError: no such architecture; timm is not installed.
    """
    own, _, small = name.partition("-cifar")
    if own in BLOCKS.values() and small in STEMS:
        return _resnet(own, stem=7 if own == name else 3, variant=small)
    if name in THIN:
        return _thin(name)
    if name in ("preactresnet18", "preactresnet34"):
        return _preact(name)
    if name in ("moco-v3-vit-small", "moco-v3-vit-base"):
        return replace(_timm(f"vit_{name.split('-')[-1]}_patch16_224", num_heads=12), name=name, statistics=IMAGENET)
    if not name.startswith("timm:") and name in models.list_models(module=models):
        return _torchvision(name)
    return _timm(name.removeprefix("timm:"))


def by_weights(weights: Mapping[str, Tensor], *, stem: str = "") -> Architecture:
    """The ResNet that has these weights: its depth from the names, its stem from the shape of ``conv1``.

    Args:
        stem: a key of :data:`STEMS`, which weights do not show.

    Raises:
        InputError: these are not the weights of a ResNet of a known depth.
    """
    counts = [len({n.split(".")[1] for n in weights if re.match(rf"layer{i}\.\d+\.", n)}) for i in (1, 2, 3, 4)]
    first = weights.get("conv1.weight")
    kind = "bottleneck" if "layer1.0.conv3.weight" in weights else "basic"
    thin = next((name for name in THIN if (*ARCHITECTURES[name][1], 0) == tuple(counts)), None)
    if thin and first is not None and first.shape == (16, 3, 3, 3) and not any("downsample" in n for n in weights):
        return _thin(thin)
    depth = BLOCKS.get((kind, tuple(counts)))
    if first is None or first.ndim != 4 or depth is None:
        names = ", ".join(sorted(weights)[:3])
        raise InputError(f"arch: expected its name, because the weights are not those of a plain ResNet ({names}, …)")
    if "bn1.weight" not in weights and "layer1.0.bn1.weight" in weights and kind == "basic":
        return _preact(f"pre{'act'}{depth}")
    return _resnet(depth, stem=int(first.shape[-1]), variant=stem)


def _resnet(depth: str, *, stem: int, variant: str = "") -> Architecture:
    padding, relu = STEMS[variant]
    kind, counts = next(key for key, value in BLOCKS.items() if value == depth)

    def build() -> nn.Module:
        model = ResNet(BasicBlock if kind == "basic" else Bottleneck, list(counts))
        if stem == 3:
            model.conv1 = nn.Conv2d(3, 64, 3, padding=padding, bias=False)
            model.maxpool = nn.Identity()
            model.relu = model.relu if relu else nn.Identity()
        model.fc = nn.Identity()
        return model

    if stem not in (3, 7):
        raise InputError(f"arch: expected a ResNet whose first convolution is 3×3 or 7×7, received {stem}×{stem}")
    name = depth if stem == 7 else f"{depth}-cifar"
    name += variant if stem == 3 else ""
    size, statistics = (224, IMAGENET) if stem == 7 else (32, CIFAR10)
    # Kuang Liu's CIFAR ResNets, the base of many scripts, have the same module under another name.
    return Architecture(name, build, _stages("relu"), statistics, size, ((r"\.shortcut\.", ".downsample."),))


def _thin(name: str) -> Architecture:
    stages = {"stem": "relu", "layer1": "layer1", "layer2": "layer2", "layer3": "layer3"}
    return Architecture(name, lambda: CifarResNet(name, 16), stages, IMAGENET, 32)


def _stages(stem: str) -> dict[str, str]:
    return ({"stem": stem} if stem else {}) | {f"layer{i}": f"layer{i}" for i in (1, 2, 3, 4)}


def _preact(name: str) -> Architecture:
    counts = next(counts for (_, counts), depth in BLOCKS.items() if name.endswith(depth))
    return Architecture(name, lambda: PreActResNet(PreActBlock, counts), _stages("conv1"), CIFAR10, 32)


def _torchvision(name: str) -> Architecture:
    def build() -> nn.Module:
        model = models.get_model(name, weights=None)
        for name_of_head in HEADS:
            head = getattr(model, name_of_head, None)
            if isinstance(head, nn.Sequential) and any(isinstance(m, nn.Flatten) for m in head):
                head[-1] = nn.Identity()  # the modules before turn maps into features (ConvNeXt, MaxViT)
                return model
            if isinstance(head, nn.Module):
                setattr(model, name_of_head, nn.Identity())
                return model
        raise InputError(f"arch: torchvision's {name} is no classifier with a removable head")

    return Architecture(name, build, _layer_modules(build), IMAGENET, 224)


def _timm(name: str, **options: Any) -> Architecture:
    try:
        import timm
    except ImportError:
        known = "torchvision's models, resnet18-cifar, preactresnet18"
        raise InputError(
            f"arch: expected one of {known}, or timm's names with timm installed; received {name!r}"
        ) from None
    if not timm.is_model(name):
        raise InputError(f"arch: neither torchvision nor timm has a model {name!r}")
    about = timm.get_pretrained_cfg(name)

    def build() -> nn.Module:
        return timm.create_model(name, pretrained=False, num_classes=0, **options)

    mean, std = (_three(about.mean), _three(about.std)) if about else IMAGENET
    size = about.input_size[-1] if about else 224
    return Architecture(f"timm:{name}", build, _layer_modules(build), (mean, std), size)


def resized(known: Architecture, side: int) -> Architecture:
    """The same architecture, with a resizing of its images to ``side`` pixels as its first module.

    A trigger is then put on the images before they are resized.
    """

    def build() -> nn.Module:
        return nn.Sequential(Resize((side, side), antialias=True), known.build())

    inner = {layer: f"1.{name}" for layer, name in known.layer_modules.items()}
    return replace(known, build=build, layer_modules=inner)


def _three(values: Sequence[float]) -> tuple[float, float, float]:
    first, second, third = values
    return first, second, third


def outline(build: Callable[[], nn.Module]) -> nn.Module:
    """The module without memory for its weights, if it can be built so."""
    try:
        with torch.device("meta"):
            return build()
    except NotImplementedError:  # RegNet computes with tensors while it is built
        return build()


def _layer_modules(build: Callable[[], nn.Module]) -> dict[str, str]:
    """The stages of a ResNet, or the blocks of a transformer."""
    module = outline(build)
    if "swin" in type(module).__name__.lower():  # the channels of its maps come last
        return {}
    names = [name for name, _ in module.named_modules()]
    for pattern in (
        r"layer\d+",
        r"blocks\.\d+",
        r"encoder\.layers\.encoder_layer_\d+",
        r"stages\.\d+",
        r"features\.\d+",
    ):
        if found := [name for name in names if re.fullmatch(pattern, name)]:
            return {
                name.rpartition(".")[2] if "encoder_layer" in name else name.replace(".", ""): name for name in found
            }
    return {}
