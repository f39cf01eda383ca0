"""A plain state dict, or one under a common name of training scripts.

Prefixes that all names share are removed: ``module.`` of DataParallel, ``model.``, ``encoder.``, ``net.``.
"""

from typing import Any

from .recognised import Recognised, is_state, nested, split

__all__ = ["find"]

KEYS = ("state_dict", "model_state_dict", "model", "net", "encoder", "backbone", "weights")
WRAPPERS = ("module.", "model.", "encoder.", "net.", "backbone.", "_orig_mod.")


def find(payload: Any) -> Recognised | None:
    state = payload if is_state(payload) else nested(payload, *KEYS)
    if state is None:
        return None
    while (prefix := next((w for w in WRAPPERS if all(name.startswith(w) for name in state)), None)) is not None:
        state, _ = split(state, prefix)
    return Recognised("state dict", dict(state), ())
