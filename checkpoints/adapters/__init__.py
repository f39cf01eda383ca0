"""Foreign checkpoints, one format a file: each adapter's ``find`` takes the content of a file and says what it finds
in it, or None where it is not its format. The first that finds something decides, from the most particular on."""

from collections.abc import Callable
from typing import Any

from . import backdoorbench, lightly, moco, plain, simsiam, solo_learn, ssl_backdoor
from .found import Found

__all__ = ["ADAPTERS", "Found"]

ADAPTERS: tuple[Callable[[Any], Found | None], ...] = (
    backdoorbench.find,
    moco.find,
    simsiam.find,
    solo_learn.find,
    lightly.find,
    ssl_backdoor.find,
    plain.find,
)
