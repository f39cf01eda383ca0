"""Read what others have saved, without running any of it: safetensors, and the files of ``torch.save``.

A ``.pt`` file is a pickle beside raw storages. PyTorch's own safe reader (``weights_only=True``) refuses files that
hold anything but tensors and plain containers, and those of Lightning and solo-learn do: hyper-parameters, callbacks.
Here every global of a pickle that is not needed to put tensors together becomes an inert placeholder, which is never
called and holds nothing; so tensors and plain values come out, and nothing else happens. Sizes are checked against the
file before anything is allocated.
"""

import io
import math
import pickle
import zipfile
from collections import OrderedDict
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import safetensors
import safetensors.torch
import torch
from torch import Tensor

from ..representations.errors import InputError

__all__ = ["MOST_BYTES", "Inert", "read_archive"]

MOST_BYTES = 16 << 30
"""Of a file; nothing in the field is larger."""
MOST_PICKLED = 64 << 20
"""Of the pickle beside the storages."""

DTYPES = {
    **{"DoubleStorage": torch.float64, "FloatStorage": torch.float32, "HalfStorage": torch.float16},
    **{"BFloat16Storage": torch.bfloat16, "LongStorage": torch.int64, "IntStorage": torch.int32},
    **{"ShortStorage": torch.int16, "CharStorage": torch.int8, "ByteStorage": torch.uint8, "BoolStorage": torch.bool},
    **{"ComplexFloatStorage": torch.complex64, "ComplexDoubleStorage": torch.complex128},
}


class Inert:
    """Stands for an object of a class that is not looked up. Whatever is done to it while unpickling is forgotten."""

    def __new__(cls, *_: object, **__: object) -> "Inert":
        return super().__new__(cls)

    def __init__(self, *_: object, **__: object) -> None: ...
    def __setstate__(self, _: object) -> None: ...
    def __setitem__(self, *_: object) -> None: ...
    def append(self, _: object) -> None: ...
    def extend(self, _: object) -> None: ...
    def add(self, _: object) -> None: ...

    def __eq__(self, other: object) -> bool:
        return self is other

    def __hash__(self) -> int:
        return id(self)


def read_archive(path: Path | str) -> Any:
    """The content of a file: for safetensors name → tensor, else what was given to ``torch.save``, its unknown objects
    :class:`Inert`. Tensors are on the CPU.

    Raises:
        InputError: no such file, too large, neither format, truncated or damaged, compressed entries, a tensor that
            does not fit its storage.
    """
    path = Path(path)
    try:
        size = path.stat().st_size
        with path.open("rb") as file:
            start = file.read(9)
    except OSError as error:
        raise InputError(f"checkpoint: {path} cannot be read: {error.strerror}") from None
    if size > MOST_BYTES:
        raise InputError(f"checkpoint: {path}: expected at most {MOST_BYTES >> 30} GiB, received {size >> 30}")
    try:
        if start.startswith(b"PK\x03\x04"):
            with zipfile.ZipFile(path) as archive:
                return _from_zip(archive, path)
        if len(start) == 9 and start[8:] == b"{" and int.from_bytes(start[:8], "little") < size:
            return safetensors.torch.load_file(path)
        if start[:1] == b"\x80":
            return _legacy(path)
    except InputError:
        raise
    except RecursionError:
        raise InputError(f"checkpoint: {path} is nested too deeply to be a checkpoint") from None
    except MemoryError:
        raise InputError(f"checkpoint: {path} asks for more memory than there is") from None
    except Exception as error:  # whatever a damaged file provokes: zip, pickle and safetensors have no common error
        raise InputError(f"checkpoint: {path} is damaged: {type(error).__name__}: {_short(error)}") from None
    raise InputError(f"checkpoint: {path}: expected safetensors or a file of torch.save, received neither")


def _from_zip(archive: zipfile.ZipFile, path: Path) -> Any:
    entries = {info.filename: info for info in archive.infolist()}
    pickles = [name for name in entries if name.endswith("/data.pkl") and name.count("/") == 1]
    if len(pickles) != 1:
        raise InputError(f"checkpoint: {path}: expected the archive of torch.save, received a zip without its data.pkl")
    for info in entries.values():
        # torch.save stores; what is compressed could be any size.
        if info.compress_type != zipfile.ZIP_STORED or info.file_size != info.compress_size:
            raise InputError(f"checkpoint: {path}: expected stored entries, received {info.filename!r} compressed")
    if entries[pickles[0]].file_size > MOST_PICKLED:
        raise InputError(f"checkpoint: {path}: its pickle has more than {MOST_PICKLED >> 20} MiB")
    root = pickles[0].removesuffix("data.pkl")
    order = entries.get(f"{root}byteorder")
    if order is not None and archive.read(order).strip() != b"little":
        raise InputError(f"checkpoint: {path}: expected little-endian storages, received others")
    storages: dict[str, Tensor] = {}

    def storage(key: str) -> Tensor:
        if key not in storages:
            name = f"{root}data/{key}"
            if name not in entries:
                raise InputError(f"checkpoint: {path} is damaged: it lacks the storage {key!r}")
            # A bytearray: torch shares its memory, and may write there.
            raw = bytearray(archive.read(name))
            storages[key] = torch.frombuffer(raw, dtype=torch.uint8) if raw else torch.empty(0, dtype=torch.uint8)
        return storages[key]

    return _plain(_Reader(archive.read(pickles[0]), path).load(), storage, path, {})


@dataclass(frozen=True)
class _Storage:
    dtype: torch.dtype
    key: str
    numel: int


class _Described(Inert):
    """A tensor as the pickle tells it. It is put together when nothing of the pickle is run any more."""

    def __init__(self, storage: Any, offset: Any, size: Any, stride: Any, *_: object) -> None:
        self.told = storage, offset, size, stride


class _Reader(pickle.Unpickler):
    def __init__(self, data: bytes, path: Path) -> None:
        super().__init__(io.BytesIO(data))
        self.path = path

    def find_class(self, module: str, name: str) -> Any:
        # Nothing that is returned here can be changed by a pickle so that it would matter: classes refuse it, and
        # methods are bound anew each time.
        if module == "torch" and name in DTYPES:
            return DTYPES[name]
        if module == "torch._utils" and name in ("_rebuild_tensor_v2", "_rebuild_tensor"):
            return _Described
        if module == "torch._utils" and name == "_rebuild_parameter":
            return self._first
        return {("collections", "OrderedDict"): OrderedDict, ("torch", "Size"): tuple}.get((module, name), Inert)

    def persistent_load(self, pid: Any) -> Any:
        if not isinstance(pid, tuple) or len(pid) != 5 or pid[0] != "storage":
            raise InputError(f"checkpoint: {self.path} is damaged: it refers to something that is no storage")
        _, dtype, key, _, numel = pid
        if not isinstance(dtype, torch.dtype) or not isinstance(key, str) or not _is_count(numel):
            raise InputError(f"checkpoint: {self.path} is damaged: a storage of an unknown type")
        return _Storage(dtype, key, numel)

    def _first(self, data: Any, *_: object) -> Any:
        return data


def _plain(value: Any, storage: Callable[[str], Tensor], path: Path, seen: dict[int, Any]) -> Any:
    """Tensors, plain containers and values, and :class:`Inert`; what is shared is converted once."""
    if id(value) in seen:
        return seen[id(value)]
    if isinstance(value, _Described):
        seen[id(value)] = _tensor(value, storage, path)
    elif isinstance(value, dict):
        seen[id(value)] = table = {}
        # Of the class, not of the object, which a pickle may have given attributes.
        table |= {k: _plain(v, storage, path, seen) for k, v in dict.items(value) if isinstance(k, str | int)}
    elif isinstance(value, list):
        seen[id(value)] = items = []
        items += [_plain(v, storage, path, seen) for v in value]
    elif isinstance(value, tuple):
        seen[id(value)] = tuple(_plain(v, storage, path, seen) for v in value)
    elif value is None or isinstance(value, str | int | float | bytes):
        return value
    else:
        return Inert()
    return seen[id(value)]


def _tensor(described: _Described, storage: Callable[[str], Tensor], path: Path) -> Tensor:
    held, offset, size, stride = described.told
    fits = isinstance(held, _Storage) and _is_count(offset) and isinstance(size, tuple) and isinstance(stride, tuple)
    if not fits or len(size) != len(stride) or not all(map(_is_count, (*size, *stride))):
        raise InputError(f"checkpoint: {path} is damaged: a tensor without size or storage")
    raw = storage(held.key)
    if len(raw) < held.numel * held.dtype.itemsize:
        raise InputError(f"checkpoint: {path} is damaged: storage {held.key!r} is shorter than it says")
    count = math.prod(size)
    if not count:
        return torch.empty(size, dtype=held.dtype)
    # An expanded view could claim any size: a tensor has no more elements than its storage.
    last = offset + sum((n - 1) * step for n, step in zip(size, stride, strict=True))
    if last >= held.numel or count > held.numel:
        raise InputError(f"checkpoint: {path} is damaged: a tensor of shape {size} does not fit its storage")
    return torch.as_strided(raw[: held.numel * held.dtype.itemsize].view(held.dtype), size, stride, offset)


def _legacy(path: Path) -> Any:
    """Files before PyTorch 1.6 are pickles one behind the other: PyTorch's own safe reader, or a refusal."""
    try:
        return torch.load(path, map_location="cpu", weights_only=True)
    except pickle.UnpicklingError as error:
        if "weights_only" not in str(error) and "Unsupported" not in str(error):
            raise
        raise InputError(
            f"checkpoint: {path} is in the format of PyTorch before 1.6 and holds objects that are no tensors: where "
            f"you trust it, load it there and save its state_dict again with torch.save"
        ) from None


def _is_count(value: object) -> bool:
    return isinstance(value, int) and not isinstance(value, bool) and value >= 0


def _short(error: Exception) -> str:
    return (" ".join(str(error).split()) or "no more is known")[:200]
