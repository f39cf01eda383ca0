"""The result of an adapter, and functions that adapters share."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, TypeGuard

from torch import Tensor

__all__ = ["Recognised", "is_state", "nested", "split"]


@dataclass(frozen=True)
class Recognised:
    """The encoder in a foreign checkpoint.

    ``format``: the name of the format. ``weights``: of the backbone, by its own names. ``dropped``: the names of other
    tensors in the file (heads, projectors, other encoders). ``arch``: the architecture, if the file names it.
    ``stem``: for a ResNet with a 3×3 stem, what weights do not show (see :data:`.architectures.STEMS`). ``image_size``:
    from the file, or 0. ``resize``: the side to which the network resizes its images, 0 if it does not.
    """

    format: str
    weights: dict[str, Tensor]
    dropped: tuple[str, ...]
    arch: str = ""
    stem: str = ""
    image_size: int = 0
    resize: int = 0


def is_state(value: object) -> TypeGuard[dict[str, Tensor]]:
    """Whether it is a state dict: names and tensors, at least one."""
    return (
        isinstance(value, dict)
        and bool(value)
        and all(isinstance(k, str) and isinstance(v, Tensor) for k, v in value.items())
    )


def nested(payload: Any, *keys: str) -> dict[str, Tensor] | None:
    """The state dict under the first of ``keys`` that holds one."""
    if not isinstance(payload, Mapping):
        return None
    return next((payload[key] for key in keys if is_state(payload.get(key))), None)


def split(state: Mapping[str, Tensor], *prefixes: str) -> tuple[dict[str, Tensor], tuple[str, ...]]:
    """Tensors whose names begin with the first prefix that occurs, without the prefix; and the names of the others."""
    for prefix in prefixes:
        inside = {name.removeprefix(prefix): x for name, x in state.items() if name.startswith(prefix)}
        if inside:
            return inside, tuple(name for name in state if not name.startswith(prefix))
    return {}, tuple(state)
