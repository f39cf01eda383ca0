"""The manifest of a finished run: plain JSON with the hashes of all other files and of itself. Imports no torch."""

import json
import math
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from ..representations.errors import InputError
from .files import read_json, sha256

__all__ = ["FORMAT", "HALF", "MANIFEST", "OF_FOLDER", "manifest_bytes", "own_hash", "read_manifest"]

FORMAT = 1
MANIFEST = "manifest.json"
HALF = "float16"
"""Value of ``stored`` where weights are in half precision."""
OF_FOLDER = ("format", "encoder", "files", "sha256", "stored")
"""Keys of a manifest that saving writes anew."""


def manifest_bytes(
    encoder: Mapping[str, object], hashes: Mapping[str, str], about: Mapping[str, Any], *, half: bool
) -> bytes:
    """The manifest of a run. ``encoder``: its spec. ``hashes``: file → SHA-256. ``about``: the rest of the content."""
    # NaN is not JSON, and other readers than Python refuse it.
    full = _finite({"format": FORMAT, "encoder": encoder, "files": hashes} | dict(about))
    full |= {"stored": HALF} if half else {}
    return json.dumps(full | {"sha256": own_hash(full)}, indent=1, allow_nan=False).encode()


def read_manifest(path: Path) -> dict[str, Any]:
    """A manifest with the tables ``encoder`` and ``files``; its own hash is not checked.

    Raises:
        InputError: it cannot be read, or has another format.
    """
    manifest = read_json(path, FORMAT)
    for key in ("encoder", "files"):
        if not isinstance(manifest.get(key), dict):
            raise InputError(f"checkpoint: {path}: expected a table {key!r}, received {manifest.get(key)!r}")
    return manifest


def own_hash(manifest: Mapping[str, Any]) -> str:
    """SHA-256 of a manifest without its key ``sha256``."""
    return sha256(json.dumps({k: v for k, v in manifest.items() if k != "sha256"}, sort_keys=True).encode())


def _finite(value: Any) -> Any:
    """The same value with NaN and infinity as null, at all depths."""
    if isinstance(value, Mapping):
        return {k: _finite(v) for k, v in value.items()}
    if isinstance(value, list | tuple):
        return [_finite(v) for v in value]
    return None if isinstance(value, float) and not math.isfinite(value) else value
