"""Write files whole or not at all, and read JSON and hashes with errors that name the file. Imports no torch."""

import hashlib
import json
import os
import tempfile
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from ..representations.errors import InputError

__all__ = ["atomic_write", "clear_leftovers", "read_json", "sha256", "sha256_of_file", "write_all"]


def atomic_write(path: Path, data: bytes) -> None:
    """Write all of ``data``, or leave the file as it was."""
    write_all({path: data})


def write_all(files: Mapping[Path, bytes], *, last_out: Path | None = None) -> None:
    """Write all files, then give them their names in order: a full disk damages none.

    Args:
        last_out: a file that marks its folder as complete and is written last. It is removed just before the first file
            gets its name.
    """
    staged: list[tuple[str, Path]] = []
    try:
        for path, data in files.items():
            path.parent.mkdir(parents=True, exist_ok=True)
            handle, name = tempfile.mkstemp(prefix=f".{path.name}.", dir=path.parent)
            staged.append((name, path))
            with os.fdopen(handle, "wb") as file:
                file.write(data)
                file.flush()
                os.fsync(file.fileno())
            os.chmod(name, 0o644)  # mkstemp's 0600 would hide it from colleagues
        if last_out is not None:
            last_out.unlink(missing_ok=True)
        for name, path in staged:
            os.replace(name, path)
    except BaseException:
        for name, _ in staged:
            Path(name).unlink(missing_ok=True)
        raise


def clear_leftovers(folder: Path) -> None:
    """Remove the temporary files of interrupted writes from a run folder and its snapshots."""
    for pattern in (".*.safetensors.*", ".resume.pt.*", ".manifest.json.*", ".history.csv.*"):
        for path in [*folder.glob(pattern), *folder.glob(f"snapshots/{pattern}")]:
            path.unlink(missing_ok=True)


def read_json(path: Path, version: int) -> dict[str, Any]:
    """A JSON table whose ``format`` is ``version``.

    Raises:
        InputError: it cannot be read, is no table, or has another format.
    """
    try:
        table = json.loads(path.read_bytes())
    except (ValueError, OSError, RecursionError) as error:
        raise InputError(f"checkpoint: {path} is corrupted: {error}") from None
    if not isinstance(table, dict) or table.get("format") != version:
        found = table.get("format") if isinstance(table, dict) else type(table).__name__
        raise InputError(f"checkpoint: {path}: expected format {version}, received {found!r}")
    return table


def sha256(data: bytes) -> str:
    return hashlib.sha256(data).hexdigest()


def sha256_of_file(path: Path) -> str:
    """SHA-256 of a file of any size.

    Raises:
        InputError: no plain file, or one that cannot be read.
    """
    digest = hashlib.sha256()
    try:
        if not path.is_file():
            raise InputError(f"checkpoint: {path}: expected a file")
        with path.open("rb") as file:
            while part := file.read(1 << 20):
                digest.update(part)
    except OSError as error:
        raise InputError(f"checkpoint: {path} cannot be read: {error.strerror}") from None
    return digest.hexdigest()
