"""Adapters for foreign checkpoints, one format a file.

``find`` of an adapter takes the content of a file and returns what it found, or None for other formats. Adapters are
tried in order, from the most specific one, and the first result is used.
"""

from collections.abc import Callable
from typing import Any

from . import backdoorbench, lightly, moco, plain, simsiam, solo_learn, ssl_backdoor
from .recognised import Recognised

__all__ = ["ADAPTERS", "Recognised"]

ADAPTERS: tuple[Callable[[Any], Recognised | None], ...] = (
    backdoorbench.find,
    moco.find,
    simsiam.find,
    solo_learn.find,
    lightly.find,
    ssl_backdoor.find,
    plain.find,
)
