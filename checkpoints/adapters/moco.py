"""MoCo (He et al., CVPR 2020), v2 and v3 (Chen et al., 2020, 2021): the query encoder of a ``checkpoint_*.pth.tar``,
its projector named ``fc``; v3 calls it ``base_encoder``."""

from typing import Any

from .found import Found, nested, split

__all__ = ["find"]


def find(payload: Any) -> Found | None:
    state = nested(payload, "state_dict")
    if state is None:
        return None
    weights, dropped = split(state, "module.encoder_q.", "encoder_q.", "module.base_encoder.", "base_encoder.")
    return Found("MoCo", weights, dropped) if weights else None
