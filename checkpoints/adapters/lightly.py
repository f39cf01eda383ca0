"""lightly's examples: a Lightning ``.ckpt`` or a plain state dict with ``backbone.`` and ``projection_head.``.

Their backbone is often ``nn.Sequential(*list(resnet.children())[:-1])``, whose names are numbers. Which child a number
is follows from its ResNet: torchvision's has conv1, bn1, relu, maxpool before its stages, the one of lightly's own
generator for CIFAR has conv1, bn1.
"""

import re
from collections.abc import Mapping
from typing import Any

from torch import Tensor

from .found import Found, is_state, nested, split

__all__ = ["find"]

HEADS = ("projection_head", "prediction_head", "prototypes", "momentum")
TORCHVISION = {"0": "conv1", "1": "bn1", "4": "layer1", "5": "layer2", "6": "layer3", "7": "layer4"}
CIFAR = {"0": "conv1", "1": "bn1", "2": "layer1", "3": "layer2", "4": "layer3", "5": "layer4"}


def find(payload: Any) -> Found | None:
    state = nested(payload, "state_dict") or (payload if is_state(payload) else None)
    if state is None or not any(name.startswith(HEADS) for name in state):
        return None
    weights, dropped = split(state, "backbone.")
    return Found("lightly", _named(weights), dropped) if weights else None


def _named(weights: Mapping[str, Tensor]) -> dict[str, Tensor]:
    if not all(re.match(r"\d+\.", name) for name in weights):
        return dict(weights)
    numbers = {name.partition(".")[0] for name in weights}
    children = TORCHVISION if numbers == set(TORCHVISION) else CIFAR if numbers == set(CIFAR) else {}
    if not children:
        return dict(weights)
    return {f"{children[number]}.{rest}": x for name, x in weights.items() for number, _, rest in [name.partition(".")]}
