"""The zoo: trained encoders that ship with the package, each a finished run in half precision, called ``zoo:NAME``.

``zoo/index.json`` lists them; it is made by :func:`intertwine.analysis.zoo.pack` and holds the SHA-256 of each
manifest, which in turn holds those of the other files.
"""

import difflib
import json
from pathlib import Path
from typing import Any

from ..representations.errors import InputError

__all__ = ["ZOO", "index", "resolve"]

ZOO = Path(__file__).parent / "zoo"
INDEX, PREFIX = "index.json", "zoo:"


def index(zoo: Path = ZOO) -> dict[str, dict[str, Any]]:
    """Name → what is said of an encoder: ``sha256`` of its manifest, ``floor`` (the name of its clean twin, or none),
    ``arm``, ``seed``, ``data``, ``metrics`` (``acc``, ``asr``, ``r_acc`` of the stored weights, shares), ``bytes``."""
    try:
        found = json.loads((zoo / INDEX).read_text())
    except (OSError, ValueError) as error:
        raise InputError(f"zoo: {zoo / INDEX} cannot be read: {error}") from None
    if not isinstance(found, dict) or not all(isinstance(entry, dict) for entry in found.values()):
        raise InputError(f"zoo: {zoo / INDEX}: expected an object of objects")
    return found


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
