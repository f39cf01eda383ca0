"""Labelled images in memory, from a named source. The same arguments give the same images."""

import hashlib
import json
import math
import sys
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path

import torch
import torch.nn.functional as F
from torch import Tensor

from ..representations.errors import InputError
from ..representations.seeds import generator
from .sources import open_source

__all__ = ["ImageSet", "load_images"]


@dataclass(frozen=True, eq=False)
class ImageSet:
    """Images ``uint8 (N, 3, H, W)``, labels ``int64 (N,)`` that index ``classes``, and the source's name as given.

    Raises:
        InputError: no image, another shape or dtype, or a label out of range.
    """

    images: Tensor = field(repr=False)
    labels: Tensor = field(repr=False)
    classes: tuple[str, ...]
    name: str

    def __post_init__(self) -> None:
        x, y, classes = self.images, self.labels, self.classes
        if x.dtype != torch.uint8 or x.ndim != 4 or x.shape[1] != 3 or not x.numel():
            raise InputError(f"images: expected uint8 (N, 3, H, W), none of them 0, received {_describe(x)}")
        if y.dtype != torch.int64 or y.shape != x.shape[:1]:
            raise InputError(f"labels: expected int64 ({len(x)},), one for each image, received {_describe(y)}")
        if not isinstance(classes, tuple) or not classes or not all(isinstance(name, str) for name in classes):
            raise InputError(f"classes: expected a tuple of names, received {classes!r}")
        low, high = (int(bound) for bound in y.aminmax())
        if low < 0 or high >= len(classes):
            raise InputError(f"labels: expected 0 to {len(classes) - 1}, one for each class, received {low}–{high}")

    def __len__(self) -> int:
        return len(self.images)

    def fingerprint(self) -> str:
        """SHA-256 of images, labels and class names: equal for equal content, from any source and on any device."""
        digest = hashlib.sha256(json.dumps(self.classes).encode())
        for tensor in (self.images, self.labels):
            digest.update(f"{tensor.dtype}{tuple(tensor.shape)}".encode())
            digest.update(tensor.cpu().flatten().numpy().data)
        return digest.hexdigest()

    def subset(self, index: Tensor | Sequence[int]) -> "ImageSet":
        """The images at ``index``: int64 ``(n,)`` from 0 to N − 1, in that order, or a bool mask ``(N,)``.

        Raises:
            InputError: another kind of index, one out of range, or none at all.
        """
        rows = torch.as_tensor(index, device=self.labels.device)
        if rows.dtype == torch.bool and rows.shape == self.labels.shape:
            rows = rows.nonzero().flatten()
        if rows.dtype != torch.int64 or rows.ndim != 1 or not len(rows):
            raise InputError(f"index: expected int64 (n,), n > 0, or bool ({len(self)},), received {_describe(rows)}")
        if rows.min() < 0 or rows.max() >= len(self):
            raise InputError(f"index: expected 0 to {len(self) - 1}, received {int(rows.min())} to {int(rows.max())}")
        return ImageSet(self.images[rows.to(self.images.device)], self.labels[rows], self.classes, self.name)


def _describe(tensor: Tensor) -> str:
    return f"{str(tensor.dtype).removeprefix('torch.')} {tuple(tensor.shape)}"


def _to_stderr(line: str) -> None:
    print(line, file=sys.stderr, flush=True)


def load_images(
    source: str,
    *,
    image_size: int | None = None,
    n_train: int | None = None,
    n_test: int | None = None,
    squeeze: tuple[float, float] = (0.0, 1.0),
    seed: int = 0,
    data_root: Path | str | None = None,
    skip_unreadable: bool = False,
    log: Callable[[str], None] = _to_stderr,
) -> tuple[ImageSet, ImageSet]:
    """Load ``(train, test)`` of a source, in its own order. The same arguments give the same bytes.

    An official split is used if there is one; n_train and n_test then choose from each part. ``digits``, and a folder
    without ``train`` and ``test``, are split by seed: the test set is n_test images, or all that n_train leaves, or a
    third. Images are chosen without replacement and in proportion to the classes. Each class has a training image if
    n_train allows it. A smaller choice is part of a larger one of the same seed.

    Decoded images that would fill more than half of the free memory are written to a file below ``data_root`` (3·H·W
    bytes an image, for later calls too). The sets are then mapped from it, with tensors like any others.

    Args:
        source: ``digits``, ``cifar10``, ``cifar100``, ``stl10``, ``svhn``, ``fashion-mnist``, or ``imagefolder:PATH``
            with PATH/train/<class>/* and PATH/test/<class>/*, or PATH/<class>/*. Grey images get three equal channels.
        image_size: side of the square images, resized bilinearly with antialiasing. Other files are first cropped to
            their central square. Default: 16 for digits, else the images' own size.
        squeeze: ``(low, high)``: pixel values 0 and 1 are mapped to these, linearly, before rounding to uint8.
        data_root: folder of copies and downloads; default ``intertwine`` in the user's cache folder.
        skip_unreadable: leave out and log image files that cannot be decoded, instead of raising an error.
        log: receives progress and warnings, one line each; default stderr.

    Raises:
        InputError: an unknown source, a failed download, unreadable files, unequal sizes, or too few images. Also fewer
            than two training classes, or a test class without training images.

    >>> train, test = load_images("digits", n_train=1200)
    >>> train.images.shape, len(test)
    (torch.Size([1200, 3, 16, 16]), 597)
    """
    low, high = _check_squeeze(squeeze)
    for name, count, most in (("image_size", image_size, 1024), ("n_train", n_train, None), ("n_test", n_test, None)):
        whole = isinstance(count, int) and not isinstance(count, bool)
        if count is not None and not (whole and 1 <= count <= (most or count)):
            wanted = f"from 1 to {most}" if most else "from 1"
            raise InputError(f"{name}: expected a whole number {wanted}, or None, received {count!r}")
    found = open_source(source, data_root=data_root, skip_unreadable=skip_unreadable, log=log)
    train, test = _choose(source, found.labels, found.official, n_train, n_test, seed)
    _check_classes(source, found.classes, found.labels[train], found.labels[test])

    index = torch.cat([train, test])
    images, readable, mapped = found.read(index, image_size)
    n = int(readable[: len(train)].sum())
    labels = found.labels[index[readable]]
    _check_classes(source, found.classes, labels[:n], labels[n:])
    if mapped and (low, high) != (0, 1):
        raise InputError(f"squeeze: expected 0 and 1 for images that do not fit in memory, received {low:g}, {high:g}")
    images = _quantise(images, image_size or found.image_size or images.shape[-1], low, high)

    def part(rows: slice) -> ImageSet:
        # A copy is contiguous, and a test set that outlives the training set does not hold it in memory.
        copy = images[rows] if mapped else images[rows].clone(memory_format=torch.contiguous_format)
        return ImageSet(copy, labels[rows].clone(), found.classes, source)

    return part(slice(n)), part(slice(n, None))


def _check_squeeze(squeeze: tuple[float, float]) -> tuple[float, float]:
    try:
        low, high = map(float, squeeze)
    except (TypeError, ValueError):
        low = high = math.nan
    if not 0 <= low < high <= 1:
        raise InputError(f"squeeze: expected (low, high) with 0 <= low < high <= 1, received {squeeze!r}")
    return low, high


def _choose(
    source: str, labels: Tensor, official: int | None, n_train: int | None, n_test: int | None, seed: int
) -> tuple[Tensor, Tensor]:
    """Sorted, disjoint indices of the training and the test images."""
    total = len(labels)
    if official is None:
        test = n_test or (round(total / 3) if n_train is None else max(total - n_train, 0))
        train = n_train or max(total - test, 0)
        if not train or not test or train + test > total:
            raise InputError(
                f"n_train, n_test: expected at least 1 each and together at most the {total:,} images of {source}, "
                f"received {train:,} and {test:,}"
            )
        order = _stratified(labels, generator(seed, "split"))
        # Rare classes come early in the order, so that training gets every class first.
        return order[:train].sort().values, order[total - test :].sort().values
    chosen = []
    for part, n, pool in (("train", n_train, range(official)), ("test", n_test, range(official, total))):
        if n is not None and n > len(pool):
            raise InputError(f"n_{part}: expected at most the {len(pool):,} {part} images of {source}, received {n:,}")
        order = _stratified(labels[pool.start : pool.stop], generator(seed, f"{part}-subset"))
        chosen.append(pool.start + order[:n].sort().values)
    return chosen[0], chosen[1]


def _stratified(labels: Tensor, stream: torch.Generator) -> Tensor:
    """A random order whose prefixes have the classes in proportion, rounded up: image r of a class of c is at r/c."""
    order = torch.randperm(len(labels), generator=stream)
    shuffled = labels[order]
    counts = shuffled.bincount()
    by_class = shuffled.argsort(stable=True)
    rank = torch.empty_like(order)
    rank[by_class] = torch.arange(len(labels)) - (counts.cumsum(0) - counts)[shuffled[by_class]]
    return order[(rank.double() / counts[shuffled]).argsort(stable=True)]


def _check_classes(source: str, classes: tuple[str, ...], train: Tensor, test: Tensor) -> None:
    in_train, in_test = set(train.tolist()), set(test.tolist())
    if len(in_train) < 2:
        names = ", ".join(repr(classes[i]) for i in in_train) or "none"
        raise InputError(f"{source}: expected training images of at least two classes, received those of {names}")
    if not in_test:
        raise InputError(f"{source}: expected test images, received none")
    if in_test - in_train:
        names = ", ".join(repr(classes[i]) for i in sorted(in_test - in_train)[:5])
        raise InputError(
            f"{source}: expected training images of every class that is tested, received none of "
            f"{len(in_test - in_train)} ({names}); add some or choose more with n_train"
        )


def _quantise(images: Tensor, size: int, low: float, high: float) -> Tensor:
    """uint8 or float32 ``(n, 1 or 3, H, W)`` as uint8 ``(n, 3, size, size)``, rounded once."""
    same_size = images.shape[-2:] == (size, size)
    if images.dtype == torch.uint8 and same_size and (low, high) == (0, 1):
        return images.expand(-1, 3, -1, -1)
    result = torch.empty((len(images), 3, size, size), dtype=torch.uint8)
    for part, target in zip(images.split(256), result.split(256), strict=True):
        real = part.float() / 255 if part.dtype == torch.uint8 else part
        if not same_size:
            real = F.interpolate(real, (size, size), mode="bilinear", antialias=True)
        target.copy_((low + (high - low) * real).mul(255).round())
    return result
