"""The result of every objective."""

from typing import NamedTuple

from torch import Tensor


class Loss(NamedTuple):
    """``total``: the scalar to minimise. ``per_sample``: float32 ``(n,)``, one loss an image with mean ``total``, or
    None where single images have no loss."""

    total: Tensor
    per_sample: Tensor | None
