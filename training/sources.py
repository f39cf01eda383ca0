"""Where images come from: each source lists its labels first and decodes only what is asked for."""

import difflib
import gzip
import math
import os
import struct
import sys
import time
import unicodedata
import zlib
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import redirect_stdout
from dataclasses import dataclass
from http.client import HTTPException
from pathlib import Path
from typing import NamedTuple

import numpy as np
import torch
from PIL import Image
from torch import Tensor

from ..representations.errors import InputError
from .decoded import fits_in_memory, on_disk

__all__ = ["NAMES", "Source", "at_hand", "image_files", "open_source", "read_idx"]

Log = Callable[[str], None]

NAMES = ("digits", "cifar10", "cifar100", "stl10", "svhn", "fashion-mnist", "imagefolder:PATH")

_TORCHVISION: dict[str, tuple[str, Mapping[str, object], Mapping[str, object]]] = {
    "cifar10": ("CIFAR10", {"train": True}, {"train": False}),
    "cifar100": ("CIFAR100", {"train": True}, {"train": False}),
    "stl10": ("STL10", {"split": "train"}, {"split": "test"}),
    "svhn": ("SVHN", {"split": "train"}, {"split": "test"}),
}
_STL10 = ("airplane", "bird", "car", "cat", "deer", "dog", "horse", "monkey", "ship", "truck")
_FASHION = (
    *("T-shirt/top", "Trouser", "Pullover", "Dress", "Coat"),
    *("Sandal", "Shirt", "Sneaker", "Bag", "Ankle boot"),
)
_DIGITS = tuple("0123456789")
DEBIAN_FASHION = Path("/usr/share/datasets/fashion-mnist")


class Pixels(NamedTuple):
    """images ``(n, 1 or 3, H, W)``, uint8 or float32 in [0, 1], of the rows asked for that the bool mask ``kept``
    names. ``mapped``: they are on disk (see :mod:`.decoded`), uint8, and not to be copied as a whole."""

    images: Tensor
    kept: Tensor
    mapped: bool = False


@dataclass(frozen=True)
class Source:
    """What a data set offers before anything is chosen.

    labels: int64 ``(N,)``, official training images first. official: how many these are, None without a split.
    read: ``(index, image_size)`` → the pixels of those rows. image_size: the default, None for the images' own.
    """

    classes: tuple[str, ...]
    labels: Tensor
    official: int | None
    read: Callable[[Tensor, int | None], Pixels]
    image_size: int | None = None


def open_source(source: str, *, data_root: Path | str | None, skip_unreadable: bool, log: Log) -> Source:
    """Find ``source`` (one of ``NAMES``), downloading it if it must be.

    Raises:
        InputError: an unknown name, a folder without classes of images, a download that fails.
    """
    root = Path(data_root).expanduser() if data_root is not None else _cache()
    if (named := _named(source, root)) is not None:
        return named
    kind, _, path = source.partition(":")
    if kind == "imagefolder" and path:
        return _imagefolder(source, Path(path).expanduser(), root / "decoded", skip_unreadable, log)
    near = f"imagefolder:{source}" if os.path.isdir(source) else next(iter(_nearest(source)), "digits")
    raise InputError(f"source: expected one of {', '.join(NAMES)}, received {source!r}; did you mean {near!r}?")


def at_hand(source: str, data_root: Path | str | None = None) -> bool:
    """Whether ``source`` can be opened, whole, without a download."""
    kind, _, path = source.partition(":")
    if kind == "imagefolder":
        return Path(path).expanduser().is_dir()
    root = Path(data_root).expanduser() if data_root is not None else _cache()
    try:
        _named(source, root, download=False)
    except InputError:
        return False
    return True


def _named(source: str, root: Path, *, download: bool = True) -> Source | None:
    if source == "digits":
        return _digits()
    if source == "fashion-mnist":
        return _fashion_mnist(root, download)
    return _torchvision(source, root, download) if source in _TORCHVISION else None


def _nearest(source: str) -> list[str]:
    return difflib.get_close_matches(source.lower(), NAMES, n=1, cutoff=0.0)


def _cache() -> Path:
    return Path(os.environ.get("XDG_CACHE_HOME") or "~/.cache").expanduser() / "intertwine"


def _in_memory(
    classes: Iterable[str], images: Tensor, labels: Tensor, official: int | None, image_size: int | None = None
) -> Source:
    def read(index: Tensor, _: int | None) -> Pixels:
        return Pixels(images[index], torch.ones(len(index), dtype=torch.bool))

    return Source(tuple(classes), labels, official, read, image_size)


# --- named sets


def _digits() -> Source:
    from sklearn.datasets import load_digits

    digits = load_digits()
    images = torch.from_numpy(digits.images).float()[:, None] / 16
    return _in_memory(_DIGITS, images, torch.from_numpy(digits.target).long(), None, image_size=16)


def _download(
    source: str,
    root: Path,
    name: str,
    splits: Sequence[Mapping[str, object]],
    also: str = "",
    *,
    download: bool = True,
) -> list:
    """The torchvision data sets ``name``, one for each of ``splits``, from ``root`` or else from their home page.

    CIFAR's files are pickles: torchvision reads them only after their MD5 sums fit.
    """
    from torchvision import datasets

    try:
        with redirect_stdout(sys.stderr):  # some versions report there; stdout belongs to the command's result
            return [getattr(datasets, name)(os.fspath(root), download=download, **split) for split in splits]
    except (OSError, RuntimeError, HTTPException, EOFError) as error:
        reason = " ".join(str(error).split()) or type(error).__name__
        raise InputError(
            f"{source}: found no complete copy in {os.fspath(root)!r}{also}, and torchvision could not download {name} "
            f"({reason}); --data-root may point to a folder with a copy"
        ) from error


def _torchvision(source: str, root: Path, download: bool) -> Source:
    name, of_train, of_test = _TORCHVISION[source]
    train, test = _download(source, root, name, [of_train, of_test], download=download)
    arrays = np.concatenate([train.data, test.data])
    # CIFAR stores (N, H, W, 3) and `targets`, the others (N, 3, H, W) and `labels`; torchvision made SVHN's 10 a 0.
    cifar = name.startswith("CIFAR")
    images = torch.from_numpy(arrays.transpose(0, 3, 1, 2) if cifar else arrays)
    labels = np.concatenate([data.targets if cifar else data.labels for data in (train, test)]).astype(np.int64)
    classes = train.classes if cifar else {"STL10": _STL10, "SVHN": _DIGITS}[name]
    return _in_memory(classes, images, torch.from_numpy(labels), len(train.data))


def _fashion_mnist(root: Path, download: bool) -> Source:
    """From the copy in ``root`` (torchvision's layout or the bare files), Debian's package, or a download."""
    files = _fashion_files(root)
    if files:
        parts = [(read_idx(images, 3), read_idx(labels, 1)) for images, labels in (files[:2], files[2:])]
    else:
        splits = [{"train": True}, {"train": False}]
        also = f" or {os.fspath(DEBIAN_FASHION)!r}"
        sets = _download("fashion-mnist", root, "FashionMNIST", splits, also, download=download)
        parts = [(data.data, data.targets) for data in sets]
    for x, y in parts:
        if len(x) != len(y) or x.shape[1:] != parts[0][0].shape[1:] or y.max() >= len(_FASHION):
            place = os.fspath(files[0].parent if files else root)
            raise InputError(
                f"fashion-mnist: expected as many labels 0–9 as images, all of one size, received {len(x):,} images "
                f"of {tuple(x.shape[1:])} and {len(y):,} labels up to {int(y.max())} in {place!r}"
            )
    images, labels = (torch.cat(tensors) for tensors in zip(*parts, strict=True))
    return _in_memory(_FASHION, images[:, None], labels.long(), len(parts[0][0]))


def _fashion_files(root: Path) -> list[Path]:
    """Images and labels for training, then for testing, of a complete copy; none where there is no such copy."""
    stems = [f"{part}-{kind}-ubyte" for part in ("train", "t10k") for kind in ("images-idx3", "labels-idx1")]

    def complete(folder: Path) -> list[Path]:
        # The .gz first: its checksum also finds a half-extracted file.
        files = [path for stem in stems for path in (folder / f"{stem}.gz", folder / stem) if path.is_file()]
        found = {path.name.removesuffix(".gz"): path for path in reversed(files)}
        return [found[stem] for stem in stems] if len(found) == len(stems) else []

    return complete(root / "FashionMNIST" / "raw") or complete(root) or complete(DEBIAN_FASHION)


def read_idx(path: Path, ndim: int) -> Tensor:
    """The uint8 tensor of ``ndim`` dimensions in an IDX file (LeCun's MNIST format), plain or ``.gz``.

    Raises:
        InputError: wrong magic number, no data, or more or fewer bytes than its header announces.
    """
    try:
        with gzip.open(path) if path.suffix == ".gz" else open(path, "rb") as file:
            magic, *shape = struct.unpack(f">{ndim + 1}I", file.read(4 * (ndim + 1)))
            size = math.prod(shape)
            # Bounded, whatever the file claims or unpacks to; one byte more than announced shows that there are more.
            data = file.read(size + 1) if size <= 1 << 30 else b""
    except (OSError, EOFError, zlib.error, struct.error) as error:
        raise InputError(f"{os.fspath(path)!r}: expected an IDX file, could not read it ({error})") from error
    wanted = 0x0800 + ndim
    if magic != wanted or not 0 < len(data) == size:
        amount = "more" if len(data) > size else f"{len(data):,}"
        raise InputError(
            f"{os.fspath(path)!r}: expected an IDX file with magic {wanted:#06x} and as many bytes as its shape says, "
            f"received magic {magic:#06x}, shape {tuple(shape)}, {amount} bytes"
        )
    return torch.frombuffer(bytearray(data), dtype=torch.uint8).reshape(shape)


# --- folders of image files

Image.preinit()  # registers the common formats first, so that they are tried first
# Formats that Pillow only writes, or reads with the help of another program: PostScript would be run by Ghostscript.
_FOREIGN = {"BUFR", "EPS", "GRIB", "HDF5", "MPEG", "PALM", "PDF", "WMF"}
_EXTENSIONS = {ext for ext, kind in Image.registered_extensions().items() if kind not in _FOREIGN}
_FORMATS = [kind for kind in Image.OPEN if kind not in _FOREIGN]
_WORKERS = min(4, os.cpu_count() or 1)
AT_ONCE = 1000  # images that are decoded before the next are asked for


def _imagefolder(source: str, root: Path, cache: Path, skip_unreadable: bool, log: Log) -> Source:
    if not os.path.isdir(root):
        raise InputError(f"{source}: expected a folder, found {'a file' if os.path.exists(root) else 'nothing'} there")
    try:
        split = all(os.path.isdir(root / part) for part in ("train", "test"))
        ignored: Counter[str] = Counter()
        parts = [_list_images(root / part, ignored) for part in (("train", "test") if split else ("",))]
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
        images, reasons, mapped = _decode_all(source, chosen, image_size, cache, log)
        if reasons:
            first = [f"{os.path.relpath(chosen[i], root)!r} ({reason})" for i, reason in list(reasons.items())[:5]]
            text = f"{len(reasons):,} of {len(chosen):,} unreadable: {', '.join(first)}{', …' * (len(reasons) > 5)}"
            if not skip_unreadable:
                raise InputError(f"{source}: expected readable images, {text}; remove them or set skip_unreadable")
            log(f"{source}: skipped {text}")
        kept = torch.tensor([i not in reasons for i in range(len(chosen))])
        return Pixels(images, kept, mapped)

    official = sum(map(len, parts[0].values())) if split else None
    return Source(tuple(classes), torch.tensor(labels), official, read)


def image_files(source: str) -> list[str]:
    """The files of ``imagefolder:PATH`` in the order of its rows, relative to PATH, each without its ending."""
    root = Path(source.partition(":")[2]).expanduser()
    if not source.startswith("imagefolder:") or not os.path.isdir(root):
        raise InputError(f"source: expected imagefolder:PATH with a folder, received {source!r}")
    split = all(os.path.isdir(root / part) for part in ("train", "test"))
    found = [_list_images(root / part, Counter()) for part in (("train", "test") if split else ("",))]
    paths = [path for part in found for name in sorted(part) for path in part[name]]
    return [os.path.splitext(os.path.relpath(path, root))[0] for path in paths]


def _list_images(folder: Path, ignored: Counter[str]) -> dict[str, list[str]]:
    """Class name to sorted image paths, for classes that have any. ``ignored`` counts the rest by kind."""
    found: dict[str, list[str]] = {}
    for entry in sorted(_visible(folder), key=lambda entry: entry.name):
        # One name in all encodings: macOS decomposes accents, and raw bytes could be neither printed nor saved.
        name = os.fsencode(entry.name).decode("utf-8", "backslashreplace")
        name = unicodedata.normalize("NFC", name)
        for file in _visible(Path(entry.path)) if entry.is_dir() else ():
            extension = os.path.splitext(file.name)[1].lower()
            if extension in _EXTENSIONS and not file.is_dir():
                found.setdefault(name, []).append(file.path)
            elif not file.is_dir():
                ignored[extension or file.name] += 1
        if entry.is_dir() and name not in found:
            ignored[f"{name}/"] += 1
    return {name: sorted(paths) for name, paths in found.items()}


def _visible(folder: Path) -> Iterator[os.DirEntry[str]]:
    with os.scandir(folder) as entries:
        yield from (entry for entry in entries if not entry.name.startswith("."))


def _decode_all(
    source: str, paths: list[str], size: int | None, cache: Path, log: Log
) -> tuple[Tensor, dict[int, str], bool]:
    """The readable images, uint8 ``(m, 3, size, size)``; of the rest ``{position: why it could not be read}``; and
    whether they are on disk."""
    with ThreadPoolExecutor(_WORKERS) as pool:
        if size is None:
            sides = {side for side in pool.map(_short_side, paths) if side}
            if len(sides) > 1:
                raise InputError(
                    f"image_size: expected a size, because the short sides of the images of {source} differ, from "
                    f"{min(sides)} to {max(sides)} pixels; received None"
                )
            size = next(iter(sides), 1)

        def fill(images: Tensor) -> dict[int, str]:
            reasons = {}
            start = shown = time.monotonic()
            # A part at a time: the pool would run ahead and hold everything that is not written yet.
            parts = (paths[at : at + AT_ONCE] for at in range(0, len(paths), AT_ONCE))
            decoded = (x for part in parts for x in pool.map(lambda path: _decode(path, size), part))
            for i, result in enumerate(decoded):
                if isinstance(result, str):
                    reasons[i] = result
                else:
                    images[i] = result
                if time.monotonic() - shown > 10:
                    shown = time.monotonic()
                    left = (shown - start) / (i + 1) * (len(paths) - i - 1)
                    log(f"{source}: decoded {i + 1:,} of {len(paths):,} images, about {left:.0f} s left")
            return reasons

        shape = (len(paths), 3, size, size)
        if not fits_in_memory(math.prod(shape)):
            return *on_disk(cache, paths, size, fill, log), True
        images = torch.zeros(shape, dtype=torch.uint8)
        reasons = fill(images)
        return images[[i for i in range(len(paths)) if i not in reasons]] if reasons else images, reasons, False


def _open(path: str) -> Image.Image:
    if not os.path.isfile(path):  # a pipe would block for ever
        raise OSError("not a file")
    return Image.open(path, formats=_FORMATS)


def _short_side(path: str) -> int | None:
    try:
        with _open(path) as image:
            return min(image.size)
    except Exception:  # _decode will say why
        return None


def _decode(path: str, size: int) -> Tensor | str:
    """The centre square of the first frame, bilinear with antialiasing, as uint8 ``(3, size, size)``; or why not.

    As in torchvision's ImageFolder, transparency and EXIF orientation are ignored.
    """
    try:
        with _open(path) as image:
            square = _rgb(image)
            side = min(square.size)
            left, top = ((length - side) // 2 for length in square.size)
            square = square.crop((left, top, left + side, top + side))
            if side != size:
                square = square.resize((size, size), Image.Resampling.BILINEAR)
            return torch.from_numpy(np.array(square)).permute(2, 0, 1)
    except Exception as error:  # on hostile files Pillow's decoders raise nearly anything
        return " ".join(str(error).replace(repr(path), "it").split()) or type(error).__name__


def _rgb(image: Image.Image) -> Image.Image:
    if image.mode.startswith("I;16") or (image.mode == "I" and image.format == "PNG"):
        # Pillow's own conversion saturates. The high byte, as it does for 16-bit colour.
        return Image.fromarray((np.asarray(image).astype(np.uint16) >> 8).astype(np.uint8)).convert("RGB")
    if image.mode in ("I", "F"):
        raise ValueError(f"{image.mode!r} pixels of 32 bits have no fixed range")
    if image.mode == "P":
        image = image.convert("RGBA")  # drops a palette's transparency without a warning
    return image.convert("RGB")
