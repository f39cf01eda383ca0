"""Images without and with the trigger, and their difference."""

from collections.abc import Sequence

import numpy as np
from matplotlib.figure import Figure

from .canvas import empty_figure, settled
from .style import NOTE, default_width, scale

__all__ = ["gallery"]

_LARGEST_CELL = 0.95  # inches


def gallery(
    clean: np.ndarray, triggered: np.ndarray, *, names: Sequence[str], gain: float = 5.0, width: float | None = None
) -> Figure:
    """Clean images, the same with the trigger, and ``gain`` × their signed difference about mid-grey: one column each.

    Both arrays are uint8 ``(n, 3, H, W)``; ``names`` head the columns. Amplified differences are cut to the range of
    colours, for display only. The largest true difference is printed under each column, in steps of 1/255.
    """
    for argument, images in (("clean", clean), ("triggered", triggered)):
        shape: tuple[int, ...] = tuple(getattr(images, "shape", ()))
        if not isinstance(images, np.ndarray) or images.dtype != np.uint8 or len(shape) != 4 or shape[1] != 3:
            kind = f"{images.dtype} array" if isinstance(images, np.ndarray) else type(images).__name__
            raise ValueError(f"{argument}: expected a uint8 array (n, 3, H, W), received {kind} of shape {shape}")
        if 0 in shape:
            raise ValueError(f"{argument}: expected at least one image of at least one pixel, received shape {shape}")
    if clean.shape != triggered.shape:
        raise ValueError(f"triggered: expected the shape of clean, {clean.shape}, received {triggered.shape}")
    if isinstance(names, str) or len(names) != len(clean):
        raise ValueError(f"names: expected {len(clean)} names, one for each image, received {names!r}")
    if not (np.isfinite(gain) and gain > 0):
        raise ValueError(f"gain: expected a positive number, received {gain!r}")

    difference = triggered.astype(np.int16) - clean.astype(np.int16)  # uint8 would wrap around
    amplified = np.clip(np.rint(127.5 + gain * difference), 0, 255).astype(np.uint8)

    width = default_width() if width is None else width
    label_inches = 0.85 * scale()
    cell = min((width - label_inches) / len(clean), _LARGEST_CELL * scale())
    if cell < 0.15:
        raise ValueError(f"width: expected at least {label_inches + 0.15 * len(clean):g} inches, received {width!r}")
    longest = max(len(name) for name in names) * 0.065 * scale()
    head = 0.45 * scale() if longest < cell else 0.4 * scale() + longest  # names too long for their column are upright
    peak, unit = ("largest ", "/255") if cell > 0.7 * scale() else ("", "")
    legend = f"difference × {gain:g}\n(grey: none)" if peak else f"difference\n× {gain:g}"
    figure = empty_figure(cell * len(clean) + label_inches, cell * clean.shape[2] / clean.shape[3] * 3 + head)
    figure.set_layout_engine("compressed")
    grid = figure.subplots(3, len(clean), squeeze=False)
    rows = (("clean", clean), ("triggered", triggered), (legend, amplified))
    for line, (label, images) in zip(grid, rows, strict=True):
        for axes, image in zip(line, images, strict=True):
            axes.imshow(image.transpose(1, 2, 0), interpolation="nearest")
            axes.set(xticks=[], yticks=[])
            axes.spines[:].set_visible(False)
        line[0].set_ylabel(label, rotation=0, ha="right", va="center")
    for axes, name in zip(grid[0], names, strict=True):
        axes.set_title(name, rotation=0 if longest < cell else 90, loc="center")
    for axes, change in zip(grid[2], difference, strict=True):
        axes.set_xlabel(f"{peak}{np.abs(change).max()}{unit}", color=NOTE)
    return settled(figure)
