"""The zoo: trained encoders that ship with the package. ``zoo:NAME`` is a finished run in half precision.

``zoo/index.json`` lists them. :func:`intertwine.analysis.runs.zoo.pack` writes it. It has the SHA-256 of each manifest,
which in turn has those of the other files.
"""

import difflib
import json
import re
from pathlib import Path
from typing import Any

from ..representations.errors import InputError
from .files import atomic_write, write_all
from .manifest import MANIFEST

__all__ = ["INDEX", "PREFIX", "ZOO", "carried_file", "copy_run", "index", "is_name", "resolve"]

ZOO = Path(__file__).parent / "zoo"
INDEX, PREFIX = "index.json", "zoo:"
KEYS = {
    *("sha256", "bytes", "arm", "seed", "data", "benign", "images", "recipe", "plan", "run_hash", "metrics"),
    "provenance",
}


def index(zoo: Path = ZOO) -> dict[str, dict[str, Any]]:
    """Name → entry of an encoder.

    An entry has ``sha256`` of its manifest, ``benign`` (the name of its benign twin, or none), ``arm``, ``seed``,
    ``data``, ``recipe``, ``plan`` (its hash), ``run_hash``, ``metrics``, ``provenance`` and ``bytes``. ``metrics``
    are ``acc``, ``asr`` and ``r_acc`` of the stored weights, in [0, 1]. ``images``: the file of images that ships with
    the encoder, in the zoo, and its ``sha256``; or none.
    """
    try:
        found = json.loads((zoo / INDEX).read_text())
    except (OSError, ValueError) as error:
        raise InputError(f"zoo: {zoo / INDEX} cannot be read: {error}") from None
    for name, entry in found.items() if isinstance(found, dict) else [("", None)]:
        if not is_name(name) or not isinstance(entry, dict) or not entry.keys() >= KEYS:
            raise InputError(f"zoo: {zoo / INDEX}: expected encoders with {', '.join(sorted(KEYS))}, received {name!r}")
    return dict(found)


def is_name(name: object) -> bool:
    """Whether it is a valid name of an encoder of the zoo: a plain file name on every system."""
    return isinstance(name, str) and bool(re.fullmatch(r"[A-Za-z0-9]+(-[A-Za-z0-9]+)*", name))


def carried_file(folder: Path) -> tuple[Path, str] | None:
    """The file of images that ships with an encoder of a zoo, and its SHA-256; none for other folders."""
    try:
        entry = index(folder.parent).get(folder.name)
    except InputError:  # no zoo
        return None
    return (folder.parent / entry["images"]["file"], entry["images"]["sha256"]) if entry and entry["images"] else None


def copy_run(folder: Path, copy: Path) -> Path:
    """Copy a finished run without snapshots and tables, so that its tables can be written beside the copy.

    With an encoder of the zoo come its entry of the index and the images that ship with it: the folder around the copy
    is then a small zoo. A copy that is there already is kept.
    """
    manifest = (folder / MANIFEST).read_bytes()
    if not ((copy / MANIFEST).is_file() and (copy / MANIFEST).read_bytes() == manifest):
        files = {copy / name: (folder / name).read_bytes() for name in json.loads(manifest)["files"] if "/" not in name}
        write_all({**files, copy / MANIFEST: manifest}, last_out=copy / MANIFEST)
    if (images := carried_file(folder)) is not None:
        source, zoo = images[0], copy.parent
        if not (zoo / "images" / source.name).is_file():
            atomic_write(zoo / "images" / source.name, source.read_bytes())
        entries = index(zoo) if (zoo / INDEX).is_file() else {}
        entries[copy.name] = index(folder.parent)[folder.name]
        atomic_write(zoo / INDEX, json.dumps(entries, indent=1).encode())
    return copy


def resolve(path: Path | str) -> Path:
    """The folder of ``zoo:NAME``; any other path as it is.

    Raises:
        InputError: no such encoder; the message has the nearest name.
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
