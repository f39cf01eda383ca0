"""Stamps: small files beside tables, with the hashes of the tables and of all that they depend on.

Work with a valid stamp is not done again. A table that something else has changed makes its stamp invalid.
"""

import hashlib
import json
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

from ...representations.errors import InputError
from .run import about_run

__all__ = ["is_valid", "stamp_of"]


def stamp_of(runs: Sequence[Path], tables: Sequence[Path], **settings: object) -> dict[str, Any]:
    """A stamp as plain JSON: the hashes of the measured runs and of their tables, and the settings."""
    hashes = {table.name: hashlib.sha256(table.read_bytes()).hexdigest() for table in tables}
    return {"runs": [about_run(run)["run_hash"] for run in runs], "tables": hashes, **settings}


def is_valid(path: Path, stamp: Callable[[], dict[str, Any]]) -> bool:
    """Whether the file holds what ``stamp`` returns now.

    A stamp that cannot be read is not valid: the work is done again, and then reports what is wrong.
    """
    try:
        return bool(json.loads(path.read_text()) == stamp())
    except (InputError, OSError, ValueError):
        return False
