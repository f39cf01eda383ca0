"""solo-learn (da Costa et al., JMLR 2022): a Lightning ``.ckpt`` with ``backbone.``, ``projector.``, ``classifier.``.

Older files have ``encoder.``. Its ResNets for CIFAR pad the 3×3 stem by 2 pixels (``methods/base.py``): images of 32×32
become 34×34.
"""

from typing import Any

from .recognised import Recognised, nested, split

__all__ = ["find"]


def find(payload: Any) -> Recognised | None:
    state = nested(payload, "state_dict")
    if state is None or "pytorch-lightning_version" not in payload:
        return None
    if not {"projector", "classifier"} <= {name.partition(".")[0] for name in state}:  # it always has both
        return None
    weights, dropped = split(state, "backbone.", "encoder.")
    return Recognised("solo-learn", weights, dropped, stem="-pad2") if weights else None
