"""Folders of image files as a source: ``imagefolder:PATH``."""

import os
import unicodedata
from collections import Counter
from collections.abc import Iterator
from pathlib import Path

import torch
from torch import Tensor

from ..representations.errors import InputError
from .decoding import EXTENSIONS, decode_all
from .source import Log, Pixels, Source

__all__ = ["image_files", "image_folder"]


def image_folder(source: str, root: Path, cache: Path, skip_unreadable: bool, log: Log) -> Source:
    """The images below ``root``: ``train/<class>/*`` and ``test/<class>/*``, or ``<class>/*``.

    ``cache``: the folder for decoded images that do not fit in memory.
    """
    if not os.path.isdir(root):
        raise InputError(f"{source}: expected a folder, found {'a file' if os.path.exists(root) else 'nothing'} there")
    try:
        ignored: Counter[str] = Counter()
        split, parts = _list_parts(root, ignored)
    except OSError as error:
        raise InputError(f"{source}: expected a folder that can be read, received {error}") from error
    for part, found in zip(("train/", "test/"), parts, strict=False):
        if not found:
            raise InputError(
                f"{source}: expected image files in {part if split else ''}<class>/"
                f"{'' if split else ', or in both train/<class>/ and test/<class>/'}, found none"
            )
    if ignored:
        kinds = ", ".join(sorted(ignored)[:10])
        log(f"{source}: ignored {ignored.total():,} files that are no images or folders without any ({kinds})")
    classes = {name: i for i, name in enumerate(sorted({name for part in parts for name in part}))}
    files = [(path, classes[name]) for part in parts for name in sorted(part) for path in part[name]]
    paths, labels = zip(*files, strict=True)

    def read(index: Tensor, image_size: int | None) -> Pixels:
        chosen = [paths[i] for i in index.tolist()]
        images, reasons, mapped = decode_all(source, chosen, image_size, cache, log)
        if reasons:
            first = [f"{os.path.relpath(chosen[i], root)!r} ({reason})" for i, reason in list(reasons.items())[:5]]
            text = f"{len(reasons):,} of {len(chosen):,} unreadable: {', '.join(first)}{', …' * (len(reasons) > 5)}"
            if not skip_unreadable:
                raise InputError(f"{source}: expected readable images, {text}; remove them or set skip_unreadable")
            log(f"{source}: skipped {text}")
        readable = torch.tensor([i not in reasons for i in range(len(chosen))])
        return Pixels(images, readable, mapped)

    official = sum(map(len, parts[0].values())) if split else None
    return Source(tuple(classes), torch.tensor(labels), official, read)


def image_files(source: str) -> list[str]:
    """The files of ``imagefolder:PATH`` in the order of its rows, relative to PATH, without their extensions."""
    root = Path(source.partition(":")[2]).expanduser()
    if not source.startswith("imagefolder:") or not os.path.isdir(root):
        raise InputError(f"source: expected imagefolder:PATH with a folder, received {source!r}")
    _, parts = _list_parts(root, Counter())
    paths = [path for part in parts for name in sorted(part) for path in part[name]]
    return [os.path.splitext(os.path.relpath(path, root))[0] for path in paths]


def _list_parts(root: Path, ignored: Counter[str]) -> tuple[bool, list[dict[str, list[str]]]]:
    """Whether a folder has ``train`` and ``test``, and :func:`_list_images` of both or of the folder itself."""
    split = all(os.path.isdir(root / part) for part in ("train", "test"))
    return split, [_list_images(root / part, ignored) for part in (("train", "test") if split else ("",))]


def _list_images(folder: Path, ignored: Counter[str]) -> dict[str, list[str]]:
    """Class name → sorted image paths, for classes that have any. ``ignored`` counts the other files by kind."""
    found: dict[str, list[str]] = {}
    for entry in sorted(_visible(folder), key=lambda entry: entry.name):
        # One name in all encodings: macOS decomposes accents, and raw bytes cannot be printed or saved.
        name = os.fsencode(entry.name).decode("utf-8", "backslashreplace")
        name = unicodedata.normalize("NFC", name)
        for file in _visible(Path(entry.path)) if entry.is_dir() else ():
            extension = os.path.splitext(file.name)[1].lower()
            if extension in EXTENSIONS and not file.is_dir():
                found.setdefault(name, []).append(file.path)
            elif not file.is_dir():
                ignored[extension or file.name] += 1
        if entry.is_dir() and name not in found:
            ignored[f"{name}/"] += 1
    return {name: sorted(paths) for name, paths in found.items()}


def _visible(folder: Path) -> Iterator[os.DirEntry[str]]:
    with os.scandir(folder) as entries:
        yield from (entry for entry in entries if not entry.name.startswith("."))
