"""Sources by name: scikit-learn's digits, torchvision's data sets and Fashion-MNIST."""

import os
import sys
from collections.abc import Mapping, Sequence
from contextlib import redirect_stdout
from http.client import HTTPException
from pathlib import Path
from typing import Any

import numpy as np
import torch
from filelock import FileLock

from ..representations.errors import InputError
from .idx import read_idx
from .source import Source, in_memory

__all__ = ["named_source"]

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


def named_source(source: str, root: Path, *, download: bool = True) -> Source | None:
    """The data set of that name, from ``root``, or from its home page if ``download``; None for other names.

    Raises:
        InputError: no complete copy in ``root``, and no download.
    """
    if source == "digits":
        return _digits()
    if source == "fashion-mnist":
        return _fashion_mnist(root, download)
    return _torchvision(source, root, download) if source in _TORCHVISION else None


def _digits() -> Source:
    from sklearn.datasets import load_digits

    digits = load_digits()
    images = torch.from_numpy(digits.images).float()[:, None] / 16
    return in_memory(_DIGITS, images, torch.from_numpy(digits.target).long(), None, image_size=16)


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

    One process downloads at a time. CIFAR's files are pickles: torchvision reads them only if their MD5 sums are right.
    """
    from torchvision import datasets

    def found(**options: Any) -> list[Any]:
        with redirect_stdout(sys.stderr):  # some versions print to stdout, which is for the command's result
            return [getattr(datasets, name)(os.fspath(root), **options, **split) for split in splits]

    try:
        try:
            return found(download=False)
        except RuntimeError:  # no complete copy
            if not download:
                raise
        root.mkdir(parents=True, exist_ok=True)
        with FileLock(root / f"{source}.lock"):
            return found(download=True)
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
    # CIFAR stores (N, H, W, 3) and `targets`, the others (N, 3, H, W) and `labels`; torchvision turns SVHN's 10 into 0.
    cifar = name.startswith("CIFAR")
    images = torch.from_numpy(arrays.transpose(0, 3, 1, 2) if cifar else arrays)
    labels = np.concatenate([data.targets if cifar else data.labels for data in (train, test)]).astype(np.int64)
    classes = train.classes if cifar else {"STL10": _STL10, "SVHN": _DIGITS}[name]
    return in_memory(classes, images, torch.from_numpy(labels), len(train.data))


def _fashion_mnist(root: Path, download: bool) -> Source:
    """From a copy in ``root`` (torchvision's layout or the bare files), from Debian's package, or by a download."""
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
    return in_memory(_FASHION, images[:, None], labels.long(), len(parts[0][0]))


def _fashion_files(root: Path) -> list[Path]:
    """Images and labels for training, then for testing, of a complete copy; empty without one."""
    stems = [f"{part}-{kind}-ubyte" for part in ("train", "t10k") for kind in ("images-idx3", "labels-idx1")]

    def complete(folder: Path) -> list[Path]:
        # The .gz first: its checksum also detects a truncated file.
        files = [path for stem in stems for path in (folder / f"{stem}.gz", folder / stem) if path.is_file()]
        found = {path.name.removesuffix(".gz"): path for path in reversed(files)}
        return [found[stem] for stem in stems] if len(found) == len(stems) else []

    return complete(root / "FashionMNIST" / "raw") or complete(root) or complete(DEBIAN_FASHION)
