"""SSL-Backdoor (Saha et al., CVPR 2022, and its successor toolkit) and CTRL (Li et al., ICCV 2023).

A dictionary whose state dict has the encoder below ``backbone.``, or below ``encoder.`` or ``model.`` beside a
projector.
"""

from typing import Any

from .recognised import Recognised, nested, split

__all__ = ["find"]


def find(payload: Any) -> Recognised | None:
    state = nested(payload, "state_dict", "model", "state")
    if state is None:
        return None
    weights, dropped = split(state, "module.backbone.", "backbone.", "model.backbone.")
    if not weights and any(name.startswith(("projector.", "head.")) for name in state):
        weights, dropped = split(state, "encoder.", "model.")
    return Recognised("SSL-Backdoor or CTRL", weights, dropped) if weights else None
