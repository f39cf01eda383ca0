"""Decoded images on disk, for data that does not fit in memory.

A folder of image files is decoded once, into one file of uint8 that is then mapped: the system reads what a batch asks
for and lets go of what it does not, and everything that takes a tensor of images takes this one. Decoding anew in every
epoch, as a loader would, costs a core for each few hundred images a second; the file costs 3·H·W bytes an image.
"""

import fcntl
import hashlib
import json
import math
import os
import shutil
import tempfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import torch
from torch import Tensor

from ..representations.errors import InputError

__all__ = ["fits_in_memory", "on_disk"]


def fits_in_memory(size: int) -> bool:
    """Whether ``size`` bytes are at most half of the memory that is free now."""
    try:
        lines = Path("/proc/meminfo").read_text().splitlines()
        free = next(int(line.split()[1]) * 1024 for line in lines if line.startswith("MemAvailable:"))
    except (OSError, StopIteration):  # not Linux: half of what there is
        free = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") // 2
    return size <= free / 2


def on_disk(
    folder: Path, paths: list[str], size: int, fill: Callable[[Tensor], dict[int, str]], log: Callable[[str], None]
) -> tuple[Tensor, dict[int, str]]:
    """uint8 ``(n, 3, size, size)``, mapped from a file in ``folder``, and which images could not be read and why.

    ``fill`` decodes into a tensor of that shape; it is not called again for the same files (by path, length and time of
    change), but for those with unreadable images among them. Of several processes that ask at once, one decodes.

    Raises:
        InputError: not enough room on the disk.
    """
    shape = (len(paths), 3, size, size)
    length = math.prod(shape)
    target = folder / f"{_key(paths, size)}.u8"
    folder.mkdir(parents=True, exist_ok=True)
    with _locked(target.with_suffix(".lock")):
        if not target.is_file():
            free = shutil.disk_usage(folder).free
            if length > free:
                raise InputError(
                    f"data_root: expected room for {length / 1e9:,.1f} GB of decoded images, which do not fit in "
                    f"memory, received {free / 1e9:,.1f} GB in {os.fspath(folder)!r}"
                )
            log(f"decoding {len(paths):,} images to {target} ({length / 1e9:,.1f} GB), where they stay for later runs")
            handle, name = tempfile.mkstemp(prefix=f".{target.name}.", dir=folder)
            try:
                with os.fdopen(handle, "wb") as file:
                    os.posix_fallocate(file.fileno(), 0, length)  # a disk that fills up later would kill the process
                images = torch.from_file(name, shared=True, size=length, dtype=torch.uint8).view(shape)
                reasons = fill(images)
                if reasons:
                    return _packed(images, reasons), reasons  # of a file without a name: it goes with the process
                os.replace(name, target)
            finally:
                Path(name).unlink(missing_ok=True)
    # Private: a write into the tensor would not reach the file.
    return torch.from_file(str(target), shared=False, size=length, dtype=torch.uint8).view(shape), {}


def _key(paths: list[str], size: int) -> str:
    stats = ((path, os.stat(path)) for path in paths)
    listed = [size, [(path, s.st_size, s.st_mtime_ns) for path, s in stats]]
    return hashlib.sha256(json.dumps(listed).encode()).hexdigest()[:32]


def _packed(images: Tensor, reasons: dict[int, str]) -> Tensor:
    """Those that could be read, moved up in place."""
    kept = [i for i in range(len(images)) if i not in reasons]
    for to, since in enumerate(kept):
        if to != since:
            images[to] = images[since]
    return images[: len(kept)]


@contextmanager
def _locked(path: Path) -> Iterator[None]:
    with path.open("w") as file:
        fcntl.flock(file, fcntl.LOCK_EX)
        try:
            yield
        finally:
            path.unlink(missing_ok=True)
