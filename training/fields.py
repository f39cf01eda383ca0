"""How the fields of a recipe are declared, read from text and refused: one declaration gives the help of the command
line, the one-line errors and the JSON schema. This module imports no torch."""

import difflib
import typing
from collections.abc import Callable
from dataclasses import dataclass
from functools import cache, wraps
from typing import Any, Literal, TypeVar

from annotated_types import Ge, Gt, Le, Lt
from pydantic import Field, ValidationError
from pydantic.fields import FieldInfo

from ..representations.errors import InputError

__all__ = ["Expected", "FieldHelp", "Group", "about", "described", "one_line_errors", "read_text"]

Group = Literal["run", "data", "poison", "encoder", "objective", "augmentation", "optimisation"]
WANTED = {int: "a whole number", float: "a finite number", bool: "true or false", str: "text"}
TYPES = {int: "int", float: "float", bool: "true|false", str: "str"}
LARGEST = 10**100
"""Python's whole numbers have no end: those of hundreds of digits are no float, of thousands cannot even be printed."""
LONGEST = 200
"""Characters of a value that a message quotes."""

T = TypeVar("T")


@dataclass(frozen=True)
class Expected:
    """What a message says that a field expects, where its range in numbers would not say it well."""

    phrase: str


@dataclass(frozen=True)
class FieldHelp:
    """A field for a reader. ``type`` and ``default`` are text; ``default`` is empty where the meaning says it."""

    name: str
    group: str
    type: str
    default: str
    meaning: str


def about(group: Group, meaning: str, **limits: Any) -> Any:
    """A field's group, its meaning in a sentence and its limits, as pydantic's ``Field`` takes them."""
    return Field(description=meaning, json_schema_extra={"group": group}, **limits)


def described(cls: type) -> list[FieldHelp]:
    """The fields of a class in order, with the choices of each as part of its meaning."""
    return [_described(name, _kind(cls, name), info) for name, info in _infos(cls).items()]


def _described(name: str, kind: Any, info: FieldInfo) -> FieldHelp:
    assert isinstance(info.json_schema_extra, dict)
    meaning = str(info.description)
    if typing.get_origin(kind) is Literal:
        meaning += f" One of {', '.join(typing.get_args(kind))}."
    parts = typing.get_args(kind) if typing.get_origin(kind) is tuple else (kind,)
    types = ",".join(TYPES.get(part, "str") for part in parts)
    return FieldHelp(name, str(info.json_schema_extra["group"]), types, _as_text(info.default), meaning)


def _as_text(default: Any) -> str:
    """As it would be written on the command line."""
    if default is None:
        return ""
    if isinstance(default, tuple):
        return ",".join(map(_as_text, default))
    return str(default).lower() if isinstance(default, bool) else str(default)


def read_text(cls: type, name: str, value: Any) -> Any:
    """``value`` as the field's type where it is text; a list as a tuple and a whole number as a float.

    Nothing else is changed: what does not fit is left for the check to refuse.

    Raises:
        InputError: a whole number of more than a hundred digits.
    """
    kind = _hints(cls).get(name, str)
    if type(None) in typing.get_args(kind) and (value is None or value == "none"):
        return None
    return _read(name, _kind(cls, name), value)


def _read(name: str, kind: Any, value: Any) -> Any:
    if type(value) is int and abs(value) >= LARGEST:
        wanted = WANTED.get(kind, "text")
        raise InputError(f"{name}: expected {wanted}, received a whole number of more than a hundred digits")
    if typing.get_origin(kind) is tuple:
        kinds, parts = typing.get_args(kind), value.split(",") if isinstance(value, str) else value
        fits = isinstance(parts, list | tuple) and len(parts) == len(kinds)
        return tuple(_read(name, k, v) for k, v in zip(kinds, parts, strict=True)) if fits else value
    if isinstance(value, str) and kind is bool:
        return {"true": True, "false": False}.get(value.lower(), value)
    if isinstance(value, str) and kind in (int, float):
        try:
            return kind(value)
        except ValueError:
            return value
    return float(value) if kind is float and type(value) is int else value


def one_line_errors(cls: type[T]) -> type[T]:
    """Decorator of a pydantic dataclass: what is wrong with its values is one :class:`InputError` of one line."""
    init: Callable[..., None] = cls.__init__

    @wraps(init)
    def checked(self: T, /, *values: Any, **named: Any) -> None:
        try:
            init(self, *values, **named)
        except ValidationError as error:
            raise _translated(cls, error) from None

    cls.__init__ = checked  # type: ignore[method-assign, assignment]
    return cls


def _translated(cls: type, error: ValidationError) -> InputError:
    """The first of pydantic's errors in our words; an unknown field goes before all others."""
    found = error.errors(include_url=False)
    first = next((e for e in found if e["type"] == "unexpected_keyword_argument"), found[0])
    cause = first.get("ctx", {}).get("error")
    if isinstance(cause, InputError):
        return cause
    name = str(first["loc"][0])
    if first["type"] == "unexpected_positional_argument":
        return InputError(f"recipe: expected fields by name, received {_received(first['input'])}")
    if first["type"] == "unexpected_keyword_argument":
        nearest = difflib.get_close_matches(name, _infos(cls), 1, cutoff=0)[0]
        return InputError(f"recipe: unknown field {name!r}; the nearest one is {nearest!r}")
    return InputError(f"{name}: expected {_expected(cls, name, first)}, received {_received(first['input'])}")


def _expected(cls: type, name: str, error: Any) -> str:
    kind, info = _kind(cls, name), _infos(cls)[name]
    if error["type"] == "literal_error":
        return f"one of {', '.join(typing.get_args(kind))}" if isinstance(error["input"], str) else WANTED[str]
    if error["type"] in ("greater_than", "greater_than_equal", "less_than", "less_than_equal", "value_error"):
        phrases = [m.phrase for m in info.metadata if isinstance(m, Expected)]
        return phrases[0] if phrases else _range(kind, info)
    if typing.get_origin(kind) is tuple:
        of_a_part = len(error["loc"]) > 1 and error["type"] != "missing"
        return WANTED[float] if of_a_part else f"{len(typing.get_args(kind))} numbers"
    return WANTED[kind]


def _range(kind: Any, info: FieldInfo) -> str:
    lows: list[tuple[Any, str, str]] = [(m.ge, "[", "of at least") for m in info.metadata if isinstance(m, Ge)]
    lows += [(m.gt, "(", "above") for m in info.metadata if isinstance(m, Gt)]
    highs: list[tuple[Any, str]] = [(m.le, "]") for m in info.metadata if isinstance(m, Le)]
    highs += [(m.lt, ")") for m in info.metadata if isinstance(m, Lt)]
    (low, opening, from_on), what = lows[0], "a whole number" if kind is int else "a number"
    if not highs:
        return f"{what} {from_on} {low}"
    high, closing = highs[0]
    return f"{what} from {low} to {high}" if kind is int else f"{what} in {opening}{low}, {high}{closing}"


def _received(value: Any) -> str:
    """``value`` in a message: in one line, and not longer than a line."""
    try:
        shown = repr(value)
    except ValueError:  # whole numbers of thousands of digits inside a list
        shown = f"a {type(value).__name__} that cannot be shown"
    return shown if len(shown) <= LONGEST else f"{shown[:LONGEST]}…"


def _infos(cls: type) -> dict[str, FieldInfo]:
    infos: dict[str, FieldInfo] = cls.__pydantic_fields__  # type: ignore[attr-defined]
    return infos


@cache
def _hints(cls: type) -> dict[str, Any]:
    return typing.get_type_hints(cls)


def _kind(cls: type, name: str) -> Any:
    """The type of a field, but for None."""
    kind = _hints(cls).get(name, str)
    parts = typing.get_args(kind)
    return next(k for k in parts if k is not type(None)) if type(None) in parts else kind
