"""Read foreign files without running any of their code: safetensors, and old and new files of ``torch.save``.

Own code: PyTorch's safe reader (``weights_only=True``) refuses files with objects other than tensors and plain
containers. Files of Lightning and solo-learn have such objects: hyper-parameters, callbacks. A ``.pt`` file is a pickle
beside raw storages. Here a pickle is only read: no global in it is looked up, and no function is called. Calls of
PyTorch's two functions that build tensors are recorded, and carried out after the pickle is closed. Any other object
becomes :class:`Inert`. The results are tensors and plain values. Sizes are compared with the file before memory is
allocated.
"""

import math
import stat
import zipfile
from collections.abc import Callable
from pathlib import Path
from typing import IO, Any

import safetensors
import safetensors.torch
import torch
from torch import Tensor

from ..representations.errors import InputError
from .unpickling import Described, Inert, Reader, Storage, is_count

__all__ = ["MOST_BYTES", "Inert", "read_archive"]

MOST_BYTES = 16 << 30
"""Largest size of a file."""
MOST_PICKLED = 16 << 20
"""Largest size of the pickle beside the storages: it is read in Python."""
MAGIC = 0x1950A86A20F9469CFC6C  # of files before PyTorch 1.6

Storages = Callable[[str], Tensor]


def read_archive(path: Path | str) -> Any:
    """The content of a file, with tensors on the CPU.

    For safetensors name → tensor; else the object that was passed to ``torch.save``. Unknown objects are
    :class:`Inert`, as are tensors of kinds that no encoder has (quantised, conjugated).

    Raises:
        InputError: no such file, not a plain file, too large, neither format, truncated or damaged, compressed entries,
            or a tensor that does not fit its storage.
    """
    path = Path(path)
    try:
        about = path.stat()
        if not stat.S_ISREG(about.st_mode):  # a pipe would block, and a device would never end
            kind = "a folder" if stat.S_ISDIR(about.st_mode) else "something else"
            raise InputError(f"checkpoint: {path}: expected a file, received {kind}")
        if about.st_size > MOST_BYTES:
            size = about.st_size >> 30
            raise InputError(f"checkpoint: {path}: expected at most {MOST_BYTES >> 30} GiB, received {size}")
        with path.open("rb") as file:
            start = file.read(9)
            file.seek(0)
            return _read(file, start, about.st_size, path)
    except InputError:
        raise
    except RecursionError:
        raise InputError(f"checkpoint: {path} is nested too deeply to be a checkpoint") from None
    except MemoryError:
        raise InputError(f"checkpoint: {path} needs more memory than there is") from None
    except OSError as error:
        raise InputError(f"checkpoint: {path} cannot be read: {error.strerror or error}") from None
    except Exception as error:  # whatever a damaged file provokes: zip, pickle and safetensors have no common error
        raise InputError(f"checkpoint: {path} is damaged: {type(error).__name__}: {_short(error)}") from None


def _read(file: IO[bytes], start: bytes, size: int, path: Path) -> Any:
    if start.startswith(b"PK\x03\x04"):
        with zipfile.ZipFile(file) as archive:
            return _from_zip(archive, size, path)
    if len(start) == 9 and start[8:] == b"{" and int.from_bytes(start[:8], "little") < size:
        return safetensors.torch.load_file(path)
    if start[:1] == b"\x80":
        return _legacy(file, size, path)
    raise InputError(f"checkpoint: {path}: expected safetensors or a file of torch.save, received neither")


def _from_zip(archive: zipfile.ZipFile, size: int, path: Path) -> Any:
    infos = archive.infolist()
    entries = {info.filename: info for info in infos}
    pickles = [name for name in entries if name.endswith("/data.pkl") and name.count("/") == 1]
    if len(pickles) != 1:
        raise InputError(f"checkpoint: {path}: expected the archive of torch.save, received a zip without its data.pkl")
    for info in infos:
        # torch.save does not compress; compressed entries could have any size.
        if info.compress_type != zipfile.ZIP_STORED or info.file_size != info.compress_size:
            raise InputError(f"checkpoint: {path}: expected stored entries, received {info.filename!r} compressed")
    if sum(info.file_size for info in infos) > size:
        raise InputError(f"checkpoint: {path} is damaged: its entries overlap")
    if entries[pickles[0]].file_size > MOST_PICKLED:
        raise InputError(f"checkpoint: {path}: its pickle has more than {MOST_PICKLED >> 20} MiB")
    root = pickles[0].removesuffix("data.pkl")
    order = entries.get(f"{root}byteorder")
    if order is not None and archive.read(order).strip() != b"little":
        raise InputError(f"checkpoint: {path}: expected little-endian storages, received others")
    storages: dict[str, Tensor] = {}

    def storage(key: str) -> Tensor:
        if key not in storages:
            if f"{root}data/{key}" not in entries:
                raise InputError(f"checkpoint: {path} is damaged: it lacks the storage {key[:80]!r}")
            storages[key] = _raw(archive.read(f"{root}data/{key}"))
        return storages[key]

    with archive.open(pickles[0]) as pickled:
        content = Reader(pickled, path).load()
    return _plain(content, storage, path, {})


def _legacy(file: IO[bytes], size: int, path: Path) -> Any:
    """Consecutive pickles (magic number, version, machine, content, keys of storages), then the storages."""
    if Reader(file, path).load() != MAGIC:
        raise InputError(f"checkpoint: {path}: expected a file of torch.save, received another pickle")
    _, machine = (Reader(file, path).load() for _ in range(2))
    if not isinstance(machine, dict) or machine.get("little_endian") is not True:
        raise InputError(f"checkpoint: {path}: expected little-endian storages, received others")
    reader = Reader(file, path)
    content, keys = reader.load(), Reader(file, path).load()
    raw: dict[str, Tensor] = {}
    for key in keys if isinstance(keys, list) else []:
        described = reader.storages.get(key) if isinstance(key, str) else None
        dtype = None if described is None else described.dtype
        count = int.from_bytes(file.read(8), "little", signed=True)
        if dtype is None or not 0 <= count * dtype.itemsize <= size - file.tell():
            raise InputError(f"checkpoint: {path} is damaged: its storages do not fit the file")
        raw[key] = _raw(file.read(count * dtype.itemsize))

    def storage(key: str) -> Tensor:
        if key not in raw:
            raise InputError(f"checkpoint: {path} is damaged: it lacks the storage {key[:80]!r}")
        return raw[key]

    return _plain(content, storage, path, {})


def _raw(data: bytes) -> Tensor:
    # A bytearray: torch shares its memory and may write to it.
    return torch.frombuffer(bytearray(data), dtype=torch.uint8) if data else torch.empty(0, dtype=torch.uint8)


def _plain(value: Any, storage: Storages, path: Path, seen: dict[int, Any]) -> Any:
    """Tensors, plain containers and values, and :class:`Inert`; shared objects are converted once."""
    if id(value) in seen:
        return seen[id(value)]
    kind = type(value)
    if kind is Described:
        seen[id(value)] = _tensor(value, storage, path)
    elif kind is dict:
        table: dict[Any, Any] = {}
        seen[id(value)] = table
        table |= {k: _plain(v, storage, path, seen) for k, v in value.items()}
    elif kind is list:
        items: list[Any] = []
        seen[id(value)] = items
        items += [_plain(v, storage, path, seen) for v in value]
    elif kind is tuple:
        seen[id(value)] = tuple(_plain(v, storage, path, seen) for v in value)
    elif value is None or kind in (str, int, float, bool, bytes):
        return value
    else:
        return Inert()
    return seen[id(value)]


def _tensor(described: Described, storage: Storages, path: Path) -> Tensor | Inert:
    held, offset, size, stride = described.arguments
    if type(held) is Inert or (type(held) is Storage and held.dtype is None):
        return Inert()
    fits = type(held) is Storage and is_count(offset) and type(size) is tuple and type(stride) is tuple
    if not fits or not len(size) == len(stride) <= 16 or not all(map(is_count, (*size, *stride))):
        raise InputError(f"checkpoint: {path} is damaged: a tensor without size or storage")
    raw, width = storage(held.key), held.dtype.itemsize
    if len(raw) < held.numel * width:
        raise InputError(f"checkpoint: {path} is damaged: storage {held.key[:80]!r} is shorter than declared")
    count = math.prod(size)
    if not count:
        return torch.empty(size, dtype=held.dtype)
    # An expanded view could declare any size: a tensor may have no more elements than its storage.
    last = offset + sum((n - 1) * step for n, step in zip(size, stride, strict=True))
    if last >= held.numel or count > held.numel:
        raise InputError(f"checkpoint: {path} is damaged: a tensor of shape {size} does not fit its storage")
    return torch.as_strided(raw[: held.numel * width].view(held.dtype), size, stride, offset)


def _short(error: Exception) -> str:
    return (" ".join(str(error).split()) or "no details")[:200]
