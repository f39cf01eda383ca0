"""BackdoorBench (Wu et al., NeurIPS 2022): ``attack_result.pt`` and ``defense_result.pt``.

A dictionary with ``model_name``, ``num_classes`` and the state dict under ``model``. Its vision transformers come after
a resizing of the images: their names begin with ``1.``.
"""

from typing import Any

from .recognised import Recognised, nested, split

__all__ = ["find"]

RESIZED = 224
NETWORKS = {
    *("preactresnet18", "preactresnet34", "vgg19", "vgg19_bn", "densenet161", "mobilenet_v3_large", "efficientnet_b3"),
    *("convnext_tiny", "vit_b_16"),
}
"""Its networks beside ResNets. Those are torchvision's, with another stem for small images, and are found from the
weights. A file's name for any other network is not trusted: it could be large."""


def find(payload: Any) -> Recognised | None:
    state = nested(payload, "model")
    if state is None or not isinstance(payload.get("model_name"), str):
        return None
    size = payload.get("img_size")
    side = size[0] if isinstance(size, list | tuple) and size and isinstance(size[0], int) else 0
    name = payload["model_name"]
    behind, others = split(state, "1.")
    resize = RESIZED if behind and not others else 0
    weights = behind if resize else dict(state)
    arch = name if name in NETWORKS else ""
    return Recognised("BackdoorBench", weights, (), arch=arch, image_size=side, resize=resize)
