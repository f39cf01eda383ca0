"""BackdoorBench (Wu et al., NeurIPS 2022): ``attack_result.pt`` and ``defense_result.pt``, a dictionary with
``model_name``, ``num_classes`` and the state dict under ``model``."""

from typing import Any

from .found import Found, nested

__all__ = ["find"]


def find(payload: Any) -> Found | None:
    state = nested(payload, "model")
    if state is None or not isinstance(payload.get("model_name"), str):
        return None
    size = payload.get("img_size")
    side = size[0] if isinstance(size, list | tuple) and size and isinstance(size[0], int) else 0
    name = payload["model_name"]
    # Its ResNets are torchvision's with another stem where images are small: told from the weights.
    return Found("BackdoorBench", dict(state), (), arch="" if name.startswith("resnet") else name, image_size=side)
