"""The curves of a run for TensorBoard."""

import math
from collections.abc import Callable
from pathlib import Path
from typing import Any

from ..representations.errors import InputError

__all__ = ["tensorboard"]


def tensorboard(folder: Path | str) -> Callable[[int, int, dict[str, Any]], None]:
    """Make the ``on_epoch`` of :func:`.fit.fit` that writes the columns of ``history.csv`` into ``folder``.

    Each column is a curve with a point an epoch. Values that were not computed in an epoch are left out. The points of
    an epoch are on disk when the call returns.

    Raises:
        InputError: tensorboard is not installed.
    """
    try:
        from torch.utils.tensorboard import SummaryWriter
    except ImportError:
        message = "tensorboard: the package is not installed; pip install 'intertwine[tensorboard]'"
        raise InputError(message) from None
    writers: list[SummaryWriter] = []  # opened at the first epoch: a finished run gets no empty file

    def on_epoch(done: int, total: int, row: dict[str, Any]) -> None:
        if not writers:
            writers.append(SummaryWriter(str(folder)))
        for name, value in row.items():
            if name != "epoch" and math.isfinite(value):
                writers[0].add_scalar(name, value, done)
        writers[0].flush()

    return on_epoch
