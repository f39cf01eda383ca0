"""BackdoorBench (Wu et al., NeurIPS 2022): ``attack_result.pt`` and ``defense_result.pt``, a dictionary with
``model_name``, ``num_classes`` and the state dict under ``model``."""

from typing import Any

from .found import Found, nested

__all__ = ["find"]


def find(payload: Any) -> Found | None:
    state = nested(payload, "model")
    if state is None or not isinstance(payload.get("model_name"), str):
        return None
    return Found("BackdoorBench", dict(state), (), arch=payload["model_name"])
