"""Where images come from: named data sets and folders of image files."""

import difflib
import os
from pathlib import Path

import platformdirs

from ..representations.errors import InputError
from .image_folders import image_folder
from .named_sources import named_source
from .source import Log, Source

__all__ = ["NAMES", "at_hand", "open_source"]

NAMES = ("digits", "cifar10", "cifar100", "stl10", "svhn", "fashion-mnist", "imagefolder:PATH")


def open_source(source: str, *, data_root: Path | str | None, skip_unreadable: bool, log: Log) -> Source:
    """Open ``source`` (one of ``NAMES``), and download it if necessary.

    Raises:
        InputError: an unknown name, a folder without classes of images, a download that fails.
    """
    root = _root(data_root)
    if (named := named_source(source, root)) is not None:
        return named
    kind, _, path = source.partition(":")
    if kind == "imagefolder" and path:
        return image_folder(source, Path(path).expanduser(), root / "decoded", skip_unreadable, log)
    near = f"imagefolder:{source}" if os.path.isdir(source) else _nearest(source)
    raise InputError(f"source: expected one of {', '.join(NAMES)}, received {source!r}; did you mean {near!r}?")


def at_hand(source: str, data_root: Path | str | None = None) -> bool:
    """Whether ``source`` can be opened without a download."""
    kind, _, path = source.partition(":")
    if kind == "imagefolder":
        return Path(path).expanduser().is_dir()
    try:
        named_source(source, _root(data_root), download=False)
    except InputError:
        return False
    return True


def _root(data_root: Path | str | None) -> Path:
    """``data_root``, or the user's cache folder."""
    return Path(data_root).expanduser() if data_root is not None else platformdirs.user_cache_path("intertwine")


def _nearest(source: str) -> str:
    return next(iter(difflib.get_close_matches(source.lower(), NAMES, n=1, cutoff=0.0)), "digits")
