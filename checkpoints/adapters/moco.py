"""MoCo (He et al., CVPR 2020), v2 and v3 (Chen et al., 2020, 2021): the query encoder of a ``checkpoint_*.pth.tar``.

Its projector is named ``fc`` or ``head``. v3 calls the encoder ``base_encoder``, and its ViT-S has twelve heads instead
of six.
"""

from typing import Any

from .recognised import Recognised, nested, split

__all__ = ["find"]

BEGINS = ("conv1.weight", "patch_embed.proj.weight")  # in CTRL, BYOL's projector is named encoder_q
WIDTHS = {384: "moco-v3-vit-small", 768: "moco-v3-vit-base"}


def find(payload: Any) -> Recognised | None:
    state = nested(payload, "state_dict")
    if state is None:
        return None
    weights, dropped = split(state, "module.encoder_q.", "encoder_q.", "module.base_encoder.", "base_encoder.")
    if not any(name in weights for name in BEGINS):
        return None
    width = weights["patch_embed.proj.weight"].shape[0] if BEGINS[1] in weights else 0
    return Recognised("MoCo", weights, dropped, arch=WIDTHS.get(width, ""))
