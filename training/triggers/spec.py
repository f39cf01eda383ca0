"""Triggers from text: ``patch:FILE``, ``blend:FILE``, ``python:FILE.py:NAME``."""

import importlib.util
import math
import sys
from collections.abc import Callable
from pathlib import Path

import torch
from torch import Tensor

from ...representations.errors import InputError
from .picture import Picture, read_picture

__all__ = ["FORMS", "read_trigger"]

FORMS = (
    "patch:FILE[,size=PIXELS][,place=TOPxLEFT|corner|centre][,strength=OPACITY]",
    "blend:FILE[,alpha=OPACITY]",
    "python:FILE.py:FUNCTION",
)


def read_trigger(text: str, image_size: int) -> Callable[[Tensor], Tensor]:
    """The trigger that a text describes, for square images of ``image_size`` pixels.

    ``patch``: the picture in its own size, or ``size`` pixels high, one pixel from the lower right corner by default.
    ``blend``: the picture over the whole image, ``alpha`` .2 by default. Both use the transparency of the file.
    ``python``: a function in the user's own file, which is executed: float batch ``(n, 3, H, W)`` in [0, 1] → the same.

    Raises:
        InputError: another form, an unknown option, an unreadable file, or a function that does not return a batch of
            images.
    """
    kind, _, rest = text.partition(":")
    if kind == "python" and rest:
        return _function(rest, image_size)
    if kind not in ("patch", "blend") or not rest:
        raise InputError(f"trigger: expected one of {'; '.join(FORMS)}, received {text!r}")
    path, *parts = rest.split(",")
    options = dict(part.partition("=")[::2] for part in parts)
    known = {"patch": ("size", "place", "strength"), "blend": ("alpha",)}[kind]
    if unknown := [name for name in options if name not in known]:
        raise InputError(
            f"trigger: expected options {', '.join(known)} for {kind}, received {', '.join(map(repr, unknown))}"
        )
    if kind == "blend":
        colours, opacity = read_picture(path, size=(image_size, image_size))
        return Picture(image_size, colours, opacity, strength=_number("alpha", options.get("alpha", "0.2")))
    colours, opacity = read_picture(path)
    height, width = colours.shape[-2:]
    if "size" in options:
        new = round(_number("size", options["size"]))
        if not 1 <= new <= image_size:
            raise InputError(f"size: expected 1 to the image's {image_size} pixels, received {options['size']!r}")
        height, width = new, max(1, round(width * new / height))
        if width > image_size:
            raise InputError(f"size: expected at most the image's {image_size} pixels of width, received {width}")
        colours, opacity = read_picture(path, size=(height, width))
    place = _place(options.get("place", "corner"), image_size, height, width)
    return Picture(image_size, colours, opacity, place, _number("strength", options.get("strength", "1")))


def _place(text: str, image_size: int, height: int, width: int) -> tuple[int, int]:
    if text == "corner":
        return max(0, image_size - height - 1), max(0, image_size - width - 1)
    if text in ("centre", "center"):
        return max(0, (image_size - height) // 2), max(0, (image_size - width) // 2)
    top, _, left = text.partition("x")
    if not (top.isdecimal() and left.isdecimal()):
        raise InputError(f"place: expected corner, centre or TOPxLEFT in pixels, received {text!r}")
    return int(top), int(left)


def _number(name: str, text: str) -> float:
    try:
        value = float(text)
    except ValueError:
        value = math.nan
    if not math.isfinite(value):
        raise InputError(f"{name}: expected a number, received {text!r}")
    return value


def _function(rest: str, image_size: int) -> Callable[[Tensor], Tensor]:
    path, _, name = rest.rpartition(":")
    if not path.endswith(".py") or not Path(path).is_file():
        raise InputError(f"trigger: expected python:FILE.py:FUNCTION with a file that is there, received {rest!r}")
    spec = importlib.util.spec_from_file_location("intertwine_trigger", path)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    sys.modules[spec.name] = module  # dataclasses look up the module of their class there
    try:
        spec.loader.exec_module(module)
    except (Exception, SystemExit) as error:
        raise InputError(f"trigger: {path} cannot be run: {type(error).__name__}: {error}") from None
    function = getattr(module, name, None)
    if not callable(function):
        raise InputError(f"trigger: expected a function {name!r} in {path}, received {type(function).__name__}")
    tried = torch.rand(2, 3, image_size, image_size)
    try:
        given = function(tried.clone())
    except (Exception, SystemExit) as error:
        raise InputError(f"trigger: {name} of {path} fails: {type(error).__name__}: {error}") from None
    fits = isinstance(given, Tensor) and given.shape == tried.shape and given.is_floating_point()
    if not fits or not bool(torch.isfinite(given).all()) or given.min() < 0 or given.max() > 1:
        raise InputError(f"trigger: {name} of {path} must give a float batch of its images' shape in [0, 1]")
    return function
