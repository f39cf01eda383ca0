"""lightly's examples: a Lightning ``.ckpt`` or a plain state dict with ``backbone.`` and ``projection_head.``.

Their backbone is often ``nn.Sequential(*list(resnet.children())[:-1])``, whose names are numbers. The ResNet decides
which child a number is. torchvision's has conv1, bn1, relu and maxpool before its stages. That of lightly's generator
for CIFAR has conv1 and bn1; its ReLU is a function, not a child, and is lost.
"""

from typing import Any

from .recognised import Recognised, is_state, nested, split

__all__ = ["find"]

HEADS = ("projection_head", "prediction_head", "prototypes", "momentum")
TORCHVISION = {"0": "conv1", "1": "bn1", "4": "layer1", "5": "layer2", "6": "layer3", "7": "layer4"}
CIFAR = {"0": "conv1", "1": "bn1", "2": "layer1", "3": "layer2", "4": "layer3", "5": "layer4"}


def find(payload: Any) -> Recognised | None:
    state = nested(payload, "state_dict") or (payload if is_state(payload) else None)
    if state is None or not any(name.startswith(HEADS) for name in state):
        return None
    weights, dropped = split(state, "backbone.")
    if not weights:
        return None
    numbers = {name.partition(".")[0] for name in weights}
    children = TORCHVISION if numbers == set(TORCHVISION) else CIFAR if numbers == set(CIFAR) else {}
    if children:
        weights = {f"{children[n]}.{rest}": x for name, x in weights.items() for n, _, rest in [name.partition(".")]}
    return Recognised("lightly", weights, dropped, stem="-norelu" if children is CIFAR else "")
