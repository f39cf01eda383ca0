"""Decoded images on disk, for data that does not fit in memory.

A folder of image files is decoded once into one file of uint8, which is then mapped. The system reads the pages that a
batch needs and drops others. The mapped tensor serves wherever a tensor of images does. A loader would decode in every
epoch, at a cost of one core for a few hundred images a second. The file costs 3·H·W bytes an image.
"""

import hashlib
import json
import math
import mmap
import os
import shutil
import tempfile
from collections.abc import Callable
from pathlib import Path

import psutil
import torch
from filelock import FileLock
from torch import Tensor

from ..representations.errors import InputError

__all__ = ["fits_in_memory", "mapped", "on_disk"]

CGROUP = Path("/sys/fs/cgroup")


def fits_in_memory(size: int) -> bool:
    """Whether ``size`` bytes for each process of this machine are at most half of the free memory."""
    return size * int(os.environ.get("LOCAL_WORLD_SIZE", "1")) <= _free_memory() / 2


def _free_memory() -> float:
    """Free memory of the machine, or of the container if that is less (psutil does not know its limit)."""
    free = psutil.virtual_memory().available
    try:
        most, used = (int((CGROUP / name).read_text()) for name in ("memory.max", "memory.current"))
    except (OSError, ValueError):  # no container, or one without a limit ("max")
        return free
    return min(free, most - used)


def on_disk(
    folder: Path, paths: list[str], size: int, fill: Callable[[Tensor], dict[int, str]], log: Callable[[str], None]
) -> tuple[Tensor, dict[int, str]]:
    """The readable images, uint8 ``(n, 3, size, size)``, mapped from a file in ``folder``; and reasons for the others.

    ``fill`` decodes all paths into a tensor and returns the reasons by position. The file stays: ``fill`` is called
    once for the same files (by path, length and times of change). One process decodes at a time.

    Raises:
        InputError: not enough room on the disk.
    """
    length = math.prod((len(paths), 3, size, size))
    target = folder / f"{_key(paths, size)}.u8"
    reasons_file = target.with_suffix(".json")
    folder.mkdir(parents=True, exist_ok=True)
    with FileLock(target.with_suffix(".lock")):
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
    """The bytes of a file as a tensor. A write into it does not reach the file, which may be larger than memory.

    Own code: ``np.memmap`` reserves memory for such writes, and fails for files larger than memory and swap.
    """
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
            os.posix_fallocate(file.fileno(), 0, length)  # a disk that becomes full later would kill the process
            images = torch.from_file(name, shared=True, size=length, dtype=torch.uint8).view(shape)
            reasons = fill(images)
            readable = [i for i in range(len(images)) if i not in reasons]
            for to, since in enumerate(readable):  # close the gaps of unreadable images
                if to != since:
                    images[to] = images[since]
            del images
            os.truncate(name, len(readable) * math.prod(shape[1:]))
            os.fsync(file.fileno())  # content before name
        os.chmod(name, 0o644)  # mkstemp's 0600 would hide it from colleagues
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
        except OSError:  # a dangling link: the decoder reports it
            listed.append((os.path.abspath(path),))
    return hashlib.sha256(json.dumps(listed).encode()).hexdigest()[:32]
