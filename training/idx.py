"""Read IDX files, the format of MNIST."""

import gzip
import math
import os
import struct
import zlib
from pathlib import Path

import torch
from torch import Tensor

from ..representations.errors import InputError

__all__ = ["read_idx"]


def read_idx(path: Path, ndim: int) -> Tensor:
    """The uint8 tensor of ``ndim`` dimensions in an IDX file, plain or ``.gz``.

    Raises:
        InputError: wrong magic number, no data, or more or fewer bytes than its header announces.
    """
    try:
        with gzip.open(path) if path.suffix == ".gz" else open(path, "rb") as file:
            magic, *shape = struct.unpack(f">{ndim + 1}I", file.read(4 * (ndim + 1)))
            size = math.prod(shape)
            # Bounded, whatever size the file claims or unpacks to. One byte more than announced detects a longer file.
            data = file.read(size + 1) if size <= 1 << 30 else b""
    except (OSError, EOFError, zlib.error, struct.error) as error:
        raise InputError(f"{os.fspath(path)!r}: expected an IDX file, could not read it ({error})") from error
    wanted = 0x0800 + ndim
    if magic != wanted or not 0 < len(data) == size:
        amount = "more" if len(data) > size else f"{len(data):,}"
        raise InputError(
            f"{os.fspath(path)!r}: expected an IDX file with magic {wanted:#06x} and as many bytes as its shape needs, "
            f"received magic {magic:#06x}, shape {tuple(shape)}, {amount} bytes"
        )
    return torch.frombuffer(bytearray(data), dtype=torch.uint8).reshape(shape)
