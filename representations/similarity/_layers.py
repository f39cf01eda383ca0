"""Checks of a batch of layers, for the CKA of all layer pairs."""

from collections.abc import Mapping

import torch
from torch import Tensor

from ..errors import InputError

__all__ = ["check_finite", "check_layers"]


def check_layers(x: Mapping[str, Tensor], y: Mapping[str, Tensor], *widths: Mapping[str, int]) -> int:
    """Check the names and shapes of a batch, and return its number of rows.

    Args:
        widths: layer → d of earlier batches, for x and for y; none at the first.
    """
    rows: int | None = None
    for index, (side, layers) in enumerate((("x", x), ("y", y))):
        if not layers:
            raise InputError(f"{side}: expected at least one layer, received none")
        if widths and set(layers) != set(widths[index]):
            known = ", ".join(widths[index])
            raise InputError(f"{side}: expected the layers of the first batch, {known}; received {', '.join(layers)}")
        for name, z in layers.items():
            what = label(side, name)
            if z.ndim != 2 or z.shape[1] == 0:
                raise InputError(f"{what}: expected (b, d), received {tuple(z.shape)}")
            if widths and z.shape[1] != widths[index][name]:
                raise InputError(f"{what}: expected {widths[index][name]} columns, received {z.shape[1]}")
            rows = len(z) if rows is None else rows
            if len(z) != rows:
                raise InputError(f"{what}: expected {rows} rows as in the rest of the batch, received {len(z)}")
    return rows or 0


def check_finite(side: str, layers: Mapping[str, Tensor]) -> None:
    """Require finite activations. Call it only where norms are not finite: it costs a pass over all activations."""
    for name, z in layers.items():
        if not torch.isfinite(z).all():
            raise InputError(f"{label(side, name)}: expected finite activations, received NaN or infinity")


def label(side: str, layer: str) -> str:
    return f"{side}[{layer!r}]" if layer else side
