"""SimSiam (Chen and He, CVPR 2021): the encoder of a ``checkpoint_*.pth.tar``.

Its projector is named ``fc``, and a ``predictor`` is beside it.
"""

from typing import Any

from .recognised import Recognised, nested, split

__all__ = ["find"]


def find(payload: Any) -> Recognised | None:
    state = nested(payload, "state_dict")
    if state is None or not any(name.removeprefix("module.").startswith("predictor.") for name in state):
        return None
    weights, dropped = split(state, "module.encoder.", "encoder.")
    return Recognised("SimSiam", weights, dropped) if weights else None
