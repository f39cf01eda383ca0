"""What an adapter finds in a foreign checkpoint, and what adapters share."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, TypeGuard

from torch import Tensor

__all__ = ["Found", "is_state", "nested", "split"]


@dataclass(frozen=True)
class Found:
    """``format``: who writes such files. ``weights``: of the backbone, by the names that it has alone. ``dropped``: of
    the rest (heads, projectors, other encoders), by the names in the file. ``arch``: what the file says it is, if it
    does. ``stem``: of a ResNet with a 3×3 stem, what no weight shows (see :data:`.architectures.STEMS`).
    ``image_size``: as the file says, 0 where it does not. ``resize``: the side that the network itself brings its
    images to, 0 where it takes them as they are."""

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
    """The tensors below the first of ``prefixes`` that any name has, without it; and the names of the others."""
    for prefix in prefixes:
        inside = {name.removeprefix(prefix): x for name, x in state.items() if name.startswith(prefix)}
        if inside:
            return inside, tuple(name for name in state if not name.startswith(prefix))
    return {}, tuple(state)
