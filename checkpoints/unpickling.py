"""Read a pickle without running any of it: no global is looked up, no function is called, and no object is changed.

Calls of PyTorch's two functions that build tensors are recorded as :class:`Described`; :mod:`.archives`, which has the
storages, carries them out. Any other object becomes :class:`Inert`.
"""

import pickle
from dataclasses import dataclass
from pathlib import Path
from typing import IO, Any, ClassVar, NamedTuple

import torch

from ..representations.errors import InputError

__all__ = ["Described", "Inert", "Reader", "Storage", "is_count"]

DTYPES = {
    **{"DoubleStorage": torch.float64, "FloatStorage": torch.float32, "HalfStorage": torch.float16},
    **{"BFloat16Storage": torch.bfloat16, "LongStorage": torch.int64, "IntStorage": torch.int32},
    **{"ShortStorage": torch.int16, "CharStorage": torch.int8, "ByteStorage": torch.uint8, "BoolStorage": torch.bool},
    **{"ComplexFloatStorage": torch.complex64, "ComplexDoubleStorage": torch.complex128},
}
TENSORS = ("torch._utils._rebuild_tensor_v2", "torch._utils._rebuild_tensor")
PARAMETER = "torch._utils._rebuild_parameter"


class Inert:
    """In place of an object whose class is not looked up."""

    __slots__ = ()


class _Global(NamedTuple):
    """A global name in a pickle, which is never looked up."""

    name: str


@dataclass(frozen=True)
class Storage:
    dtype: torch.dtype | None
    key: str
    numel: int


@dataclass(frozen=True)
class Described:
    """A tensor as the pickle describes it: storage, offset, size, stride."""

    arguments: tuple[Any, ...]


_Unpickler: Any = pickle._Unpickler


class Reader(_Unpickler):
    """Python's unpickler in Python; all operations that look up, call or change an object are replaced."""

    dispatch: ClassVar[dict[int, Any]] = dict(_Unpickler.dispatch)

    def __init__(self, file: IO[bytes], path: Path) -> None:
        super().__init__(file)
        self.path = path
        self.storages: dict[str, Storage] = {}

    def persistent_load(self, pid: Any) -> Any:
        if type(pid) is not tuple or len(pid) not in (5, 6) or pid[0] != "storage":
            raise InputError(f"checkpoint: {self.path} is damaged: it refers to something that is no storage")
        _, kind, key, _, numel, *view = pid
        if type(kind) is not _Global or type(key) is not str or not is_count(numel) or any(v is not None for v in view):
            return Inert()
        module, _, name = kind.name.rpartition(".")
        storage = Storage(DTYPES.get(name) if module == "torch" else None, key, numel)
        self.storages.setdefault(key, storage)
        return storage

    def _global(self) -> None:
        module, name = (self.readline()[:-1].decode() for _ in range(2))
        self.append(_Global(f"{module}.{name}"))

    def _stack_global(self) -> None:
        name, module = self.stack.pop(), self.stack.pop()
        if type(name) is not str or type(module) is not str:
            raise pickle.UnpicklingError("a global without a name")
        self.append(_Global(f"{module}.{name}"))

    def _reduce(self) -> None:
        arguments, function = self.stack.pop(), self.stack.pop()
        self.append(_made(function, arguments))

    def _new(self) -> None:
        arguments, kind = self.stack.pop(), self.stack.pop()
        self.append(_made(kind, arguments))

    def _new_with_names(self) -> None:
        self.stack.pop()
        self._new()

    def _instance(self) -> None:
        self.readline(), self.readline(), self.pop_mark()
        self.append(Inert())

    def _object(self) -> None:
        self.pop_mark()
        self.append(Inert())

    def _build(self) -> None:
        self.stack.pop()

    def _set_item(self) -> None:
        value, key = self.stack.pop(), self.stack.pop()
        _put(self.stack[-1], key, value)

    def _set_items(self) -> None:
        items = self.pop_mark()
        for key, value in zip(items[::2], items[1::2], strict=True):
            _put(self.stack[-1], key, value)

    def _dict(self) -> None:
        items = self.pop_mark()
        made: dict[Any, Any] = {}
        for key, value in zip(items[::2], items[1::2], strict=True):
            _put(made, key, value)
        self.append(made)

    def _append_one(self) -> None:
        value = self.stack.pop()
        if type(self.stack[-1]) is list:
            self.stack[-1].append(value)

    def _append_all(self) -> None:
        values = self.pop_mark()
        if type(self.stack[-1]) is list:
            self.stack[-1].extend(values)

    def _inert(self) -> None:
        self.append(Inert())

    def _drop(self) -> None:
        self.pop_mark()

    def _frozen(self) -> None:
        self.pop_mark()
        self.append(Inert())

    def _refuse(self) -> None:
        raise pickle.UnpicklingError("an operation that no checkpoint needs")

    for _codes, _action in (
        ((pickle.GLOBAL,), _global),
        ((pickle.STACK_GLOBAL,), _stack_global),
        ((pickle.REDUCE,), _reduce),
        ((pickle.NEWOBJ,), _new),
        ((pickle.NEWOBJ_EX,), _new_with_names),
        ((pickle.INST,), _instance),
        ((pickle.OBJ,), _object),
        ((pickle.BUILD,), _build),
        ((pickle.SETITEM,), _set_item),
        ((pickle.SETITEMS,), _set_items),
        ((pickle.DICT,), _dict),
        ((pickle.APPEND,), _append_one),
        ((pickle.APPENDS,), _append_all),
        ((pickle.EMPTY_SET,), _inert),
        ((pickle.ADDITEMS,), _drop),
        ((pickle.FROZENSET,), _frozen),
        ((pickle.EXT1, pickle.EXT2, pickle.EXT4, pickle.BYTEARRAY8, pickle.NEXT_BUFFER), _refuse),
    ):
        for _code in _codes:
            dispatch[_code[0]] = _action


def _made(function: Any, arguments: Any) -> Any:
    """The result of a call, for the few calls that build tensors or containers."""
    name = function.name if type(function) is _Global else ""
    if type(arguments) is not tuple:
        return Inert()
    if name in TENSORS and len(arguments) >= 4:
        return Inert() if len(arguments) > 6 and arguments[6] else Described(arguments[:4])  # conjugated, negated
    if name == PARAMETER and arguments:
        return arguments[0]
    if name == "collections.OrderedDict":
        return {}  # its items are set one by one
    if name == "torch.Size" and arguments and type(arguments[0]) is tuple:
        return arguments[0]
    return Inert()


def _put(table: Any, key: Any, value: Any) -> None:
    """Keys of other types are left out: a file can make their hashing arbitrarily slow."""
    if type(table) is dict and (type(key) is str or (type(key) is int and abs(key) < 1 << 63)):
        table[key] = value


def is_count(value: object) -> bool:
    return type(value) is int and 0 <= value < 1 << 40
