"""Decoded images on disk, for data that does not fit in memory.

A folder of image files is decoded once, into one file of uint8 that is then mapped: the system reads what a batch asks
for and lets go of what it does not, and everything that takes a tensor of images takes this one. Decoding anew in every
epoch, as a loader would, costs a core for each few hundred images a second; the file costs 3·H·W bytes an image.
"""

import fcntl
import hashlib
import json
import math
import mmap
import os
import shutil
import tempfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import torch
from torch import Tensor

from ..representations.errors import InputError

__all__ = ["fits_in_memory", "mapped", "on_disk"]

CGROUP = Path("/sys/fs/cgroup")


def fits_in_memory(size: int) -> bool:
    """Whether ``size`` bytes for each process of this machine are at most half of the memory that is free now."""
    return size * int(os.environ.get("LOCAL_WORLD_SIZE", "1")) <= _free_memory() / 2


def _free_memory() -> float:
    """Of the machine, or of the container where that is less."""
    try:
        lines = Path("/proc/meminfo").read_text().splitlines()
        free = next(int(line.split()[1]) * 1024 for line in lines if line.startswith("MemAvailable:"))
    except (OSError, StopIteration):  # not Linux: half of what there is
        free = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") // 2
    try:
        most, used = (int((CGROUP / name).read_text()) for name in ("memory.max", "memory.current"))
    except (OSError, ValueError):  # no container, or one without a limit ("max")
        return free
    return min(free, most - used)


def on_disk(
    folder: Path, paths: list[str], size: int, fill: Callable[[Tensor], dict[int, str]], log: Callable[[str], None]
) -> tuple[Tensor, dict[int, str]]:
    """uint8 ``(n, 3, size, size)`` of the images that could be read, mapped from a file in ``folder``; and why the
    others could not.

    ``fill`` decodes into a tensor for all paths and returns the reasons by position. It is called once for the same
    files (by path, length and times of change): the file stays. Of several processes that ask at once, one decodes.

    Raises:
        InputError: not enough room on the disk.
    """
    length = math.prod((len(paths), 3, size, size))
    target = folder / f"{_key(paths, size)}.u8"
    reasons_file = target.with_suffix(".json")
    folder.mkdir(parents=True, exist_ok=True)
    with _locked(target.with_suffix(".lock")):
        for leftover in folder.glob(f".{target.name}.*"):  # of a process that was killed
            leftover.unlink()
        if not _is_complete(target, reasons_file, len(paths), 3 * size * size):
            free = shutil.disk_usage(folder).free
            if length > free:
                raise InputError(
                    f"data_root: expected room for {length / 1e9:,.1f} GB of decoded images, which do not fit in "
                    f"memory, received {free / 1e9:,.1f} GB in {os.fspath(folder)!r}"
                )
            log(f"decoding {len(paths):,} images to {target} ({length / 1e9:,.1f} GB), where they stay for later runs")
            _decode(target, reasons_file, (len(paths), 3, size, size), fill)
    reasons = {int(i): why for i, why in json.loads(reasons_file.read_text()).items()}
    images = mapped(target) if len(reasons) < len(paths) else torch.empty(0, dtype=torch.uint8)
    return images.view(-1, 3, size, size), reasons


def mapped(path: Path) -> Tensor:
    """The bytes of a file as a tensor. Private: a write into it does not reach the file; and without a claim on memory
    for such writes, so that the file may be larger than memory."""
    with path.open("rb") as file:
        flags = mmap.MAP_PRIVATE | getattr(mmap, "MAP_NORESERVE", 0x4000)  # named from Python 3.13 on
        pages = mmap.mmap(file.fileno(), 0, flags=flags, prot=mmap.PROT_READ | mmap.PROT_WRITE)
    return torch.frombuffer(pages, dtype=torch.uint8)


def _is_complete(target: Path, reasons_file: Path, count: int, size: int) -> bool:
    try:
        return target.stat().st_size == size * (count - len(json.loads(reasons_file.read_text())))
    except (OSError, ValueError):
        return False


def _decode(target: Path, reasons_file: Path, shape: tuple[int, ...], fill: Callable[[Tensor], dict[int, str]]) -> None:
    length = math.prod(shape)
    handle, name = tempfile.mkstemp(prefix=f".{target.name}.", dir=target.parent)
    try:
        with os.fdopen(handle, "r+b") as file:
            os.posix_fallocate(file.fileno(), 0, length)  # a disk that fills up later would kill the process
            images = torch.from_file(name, shared=True, size=length, dtype=torch.uint8).view(shape)
            reasons = fill(images)
            kept = [i for i in range(len(images)) if i not in reasons]
            for to, since in enumerate(kept):  # moved up over those that could not be read
                if to != since:
                    images[to] = images[since]
            del images
            os.truncate(name, len(kept) * math.prod(shape[1:]))
            os.fsync(file.fileno())  # or the name could outlive the content
        os.chmod(name, 0o644)  # mkstemp's 0600 would surprise a colleague who is to read it
        reasons_file.write_text(json.dumps(reasons))
        os.replace(name, target)
    finally:
        Path(name).unlink(missing_ok=True)


def _key(paths: list[str], size: int) -> str:
    listed: list[object] = [size]
    for path in paths:
        try:
            found = os.stat(path)
            listed.append((os.path.abspath(path), found.st_size, found.st_mtime_ns, found.st_ctime_ns))
        except OSError:  # a dangling link: the decoder will say so
            listed.append((os.path.abspath(path),))
    return hashlib.sha256(json.dumps(listed).encode()).hexdigest()[:32]


@contextmanager
def _locked(path: Path) -> Iterator[None]:
    """One process at a time. The file stays: whoever waits on it would not see another in its place."""
    with path.open("w") as file:
        fcntl.flock(file, fcntl.LOCK_EX)
        yield
