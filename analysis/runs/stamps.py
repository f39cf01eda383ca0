"""Stamps: a small file beside tables that says what they depend on and holds their hashes, so that what is done is not
done again, and what anything else has written since does not pass for it."""

import hashlib
import json
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

from ...representations.errors import InputError
from .run import about_run

__all__ = ["stamp_of", "stands"]


def stamp_of(runs: Sequence[Path], tables: Sequence[Path], **settings: object) -> dict[str, Any]:
    """The hashes of the runs measured and of the tables they gave, and the settings, as plain JSON."""
    hashes = {table.name: hashlib.sha256(table.read_bytes()).hexdigest() for table in tables}
    return {"runs": [about_run(run)["run_hash"] for run in runs], "tables": hashes, **settings}


def stands(path: Path, stamp: Callable[[], dict[str, Any]]) -> bool:
    """Whether the file holds what ``stamp`` gives now. What cannot be read does not stand: whoever does the work again
    then says what is wrong."""
    try:
        return bool(json.loads(path.read_text()) == stamp())
    except (InputError, OSError, ValueError):
        return False
