"""Decode image files, in memory or, where they do not fit, into a file on disk."""

import math
import os
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
import torch
from PIL import Image
from torch import Tensor

from ..representations.errors import InputError
from .decoded import fits_in_memory, on_disk
from .source import Log

__all__ = ["EXTENSIONS", "decode_all"]

Image.preinit()  # register the common formats first, so that they are tried first
# Formats that Pillow only writes, or reads by another program. (Ghostscript would run PostScript.)
_EXCLUDED = {"BUFR", "EPS", "GRIB", "HDF5", "MPEG", "PALM", "PDF", "WMF"}
EXTENSIONS = {ext for ext, kind in Image.registered_extensions().items() if kind not in _EXCLUDED}
_FORMATS = [kind for kind in Image.OPEN if kind not in _EXCLUDED]
_WORKERS = min(4, os.cpu_count() or 1)
AT_ONCE = 1000  # images that are queued for decoding at a time


def decode_all(
    source: str, paths: list[str], size: int | None, cache: Path, log: Log
) -> tuple[Tensor, dict[int, str], bool]:
    """Decode image files.

    Returns:
        The readable images, uint8 ``(m, 3, size, size)``; for the others their position → the reason; and whether the
        images are on disk.
    """
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
            # A part at a time: the pool would run ahead and store all images that are not written yet.
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
    if not os.path.isfile(path):  # a pipe would block forever
        raise OSError("not a file")
    return Image.open(path, formats=_FORMATS)


def _short_side(path: str) -> int | None:
    try:
        with _open(path) as image:
            return min(image.size)
    except Exception:  # _decode reports the reason
        return None


def _decode(path: str, size: int) -> Tensor | str:
    """The centre square of the first frame, resized bilinearly with antialiasing, as uint8 ``(3, size, size)``.

    For an unreadable file the reason. Transparency and EXIF orientation are ignored, as in torchvision's ImageFolder.
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
        # Pillow's conversion saturates. Take the high byte, as it does for 16-bit colour.
        return Image.fromarray((np.asarray(image).astype(np.uint16) >> 8).astype(np.uint8)).convert("RGB")
    if image.mode in ("I", "F"):
        raise ValueError(f"{image.mode!r} pixels of 32 bits have no fixed range")
    if image.mode == "P":
        image = image.convert("RGBA")  # drops a palette's transparency without a warning
    return image.convert("RGB")
