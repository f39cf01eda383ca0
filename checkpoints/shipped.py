"""The zoo: trained encoders that ship with the package, each a finished run in half precision, called ``zoo:NAME``.

``zoo/index.json`` lists them; it is made by :func:`intertwine.analysis.runs.zoo.pack` and holds the SHA-256 of each
manifest, which in turn holds those of the other files.
"""

import difflib
import json
import re
from pathlib import Path
from typing import Any

from ..representations.errors import InputError

__all__ = ["INDEX", "PREFIX", "ZOO", "index", "is_name", "resolve"]

ZOO = Path(__file__).parent / "zoo"
INDEX, PREFIX = "index.json", "zoo:"
KEYS = {"sha256", "bytes", "arm", "seed", "data", "benign", "recipe", "plan", "run_hash", "metrics", "provenance"}


def index(zoo: Path = ZOO) -> dict[str, dict[str, Any]]:
    """Name → what is said of an encoder: ``sha256`` of its manifest, ``benign`` (the name of its clean twin, or none),
    ``arm``, ``seed``, ``data``, ``recipe``, ``plan`` (its hash), ``run_hash``, ``metrics`` (``acc``, ``asr``, ``r_acc``
    of the stored weights, shares), ``provenance`` and ``bytes``."""
    try:
        found = json.loads((zoo / INDEX).read_text())
    except (OSError, ValueError) as error:
        raise InputError(f"zoo: {zoo / INDEX} cannot be read: {error}") from None
    for name, entry in found.items() if isinstance(found, dict) else [("", None)]:
        if not is_name(name) or not isinstance(entry, dict) or not entry.keys() >= KEYS:
            raise InputError(f"zoo: {zoo / INDEX}: expected encoders with {', '.join(sorted(KEYS))}, received {name!r}")
    return dict(found)


def is_name(name: object) -> bool:
    """Whether an encoder of the zoo may be called so: a plain file name on every system."""
    return isinstance(name, str) and bool(re.fullmatch(r"[A-Za-z0-9]+(-[A-Za-z0-9]+)*", name))


def resolve(path: Path | str) -> Path:
    """The folder of ``zoo:NAME``; any other path as it is.

    Raises:
        InputError: no such encoder; the nearest name is told.
    """
    text = str(path)
    if not text.startswith(PREFIX):
        return Path(path)
    name, names = text.removeprefix(PREFIX), index()
    if name not in names:
        near = difflib.get_close_matches(name, names, n=1)
        hint = f"; did you mean {near[0]!r}?" if near else "; `intertwine zoo list` names them"
        raise InputError(f"zoo: expected an encoder of the zoo, received {name!r}{hint}")
    return ZOO / name
