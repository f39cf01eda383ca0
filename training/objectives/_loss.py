"""What every objective returns."""

from typing import NamedTuple

from torch import Tensor


class Loss(NamedTuple):
    """``total``: the scalar to minimise. ``per_sample``: float32 ``(n,)``, one loss an image (its mean is ``total``),
    or None where the objective has none."""

    total: Tensor
    per_sample: Tensor | None
