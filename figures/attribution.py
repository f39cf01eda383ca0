"""Where an encoder looks: images, the same with the trigger, and attributions of the target's logit."""

from collections.abc import Mapping, Sequence

import numpy as np
from matplotlib.figure import Figure

from .canvas import empty_figure, settled
from .style import default_width, scale

__all__ = ["attribution"]

_LARGEST_CELL = 0.95  # inches


def attribution(
    clean: np.ndarray,
    triggered: np.ndarray,
    maps: Mapping[str, np.ndarray],
    *,
    names: Sequence[str] = (),
    width: float | None = None,
) -> Figure:
    """One row an image: clean, triggered, and one heat map over the grey image for each attribution.

    Signed maps are red where a pixel raises the logit and blue where it lowers it; maps that are nowhere negative are
    white to red. Each map is scaled by its own 99.5th percentile: only where it is strong can be compared, not how
    strong it is.

    Args:
        clean, triggered: uint8 ``(n, 3, H, W)``.
        maps: title → float ``(n, H, W)``, or ``(n, 3, H, W)``, whose channels are added.
        names: a name for each row.
    """
    for argument, images in (("clean", clean), ("triggered", triggered)):
        if not isinstance(images, np.ndarray) or images.dtype != np.uint8 or images.ndim != 4 or images.shape[1] != 3:
            raise ValueError(f"{argument}: expected a uint8 array (n, 3, H, W), received {_of(images)}")
    if clean.shape != triggered.shape or not len(clean):
        raise ValueError(f"triggered: expected the shape of clean, {clean.shape}, received {triggered.shape}")
    flat = {title: _flat(title, values, triggered) for title, values in maps.items()}
    if names and len(names) != len(clean):
        raise ValueError(f"names: expected {len(clean)} names, received {len(names)}")
    columns = {"clean": clean, "triggered": triggered}
    n = len(columns) + len(flat)
    width = default_width() if width is None else width
    cell = min((width - 0.5 * scale()) / n, _LARGEST_CELL * scale())
    tall = cell * clean.shape[2] / clean.shape[3]
    figure = empty_figure(cell * n + 0.5 * scale(), tall * len(clean) + 0.3 * scale())
    figure.set_layout_engine("compressed")
    grid = figure.subplots(len(clean), n, squeeze=False)
    for i, line in enumerate(grid):
        for axes, (title, images) in zip(line, columns.items(), strict=False):
            axes.imshow(images[i].transpose(1, 2, 0), interpolation="nearest", gid=f"{title}/{i}")
        for axes, (title, values) in zip(line[len(columns) :], flat.items(), strict=True):
            axes.imshow(triggered[i].mean(0), cmap="gray", vmin=-100, vmax=355, interpolation="nearest")
            top = float(np.quantile(np.abs(values[i]), 0.995)) or 1.0
            strength = np.clip(np.abs(values[i]) / top, 0, 1)
            axes.imshow(values[i], cmap="bwr", vmin=-top, vmax=top, alpha=strength, gid=f"{title}/{i}")
        for axes in line:
            axes.set(xticks=[], yticks=[])
            axes.spines[:].set_visible(False)
        if names:
            line[0].set_ylabel(names[i], rotation=0, ha="right", va="center")
    for axes, title in zip(grid[0], [*columns, *flat], strict=True):
        axes.set_title(title, loc="center")
    return settled(figure)


def _flat(title: str, values: np.ndarray, images: np.ndarray) -> np.ndarray:
    flat = np.asarray(values, dtype=float)
    flat = flat.sum(1) if flat.ndim == 4 else flat
    if flat.shape != (len(images), *images.shape[2:]) or not np.isfinite(flat).all():
        raise ValueError(
            f"maps: expected finite numbers of shape {(len(images), *images.shape[2:])} as {title}, "
            f"received {np.shape(values)}"
        )
    return flat


def _of(images: object) -> str:
    return f"{images.dtype} {images.shape}" if isinstance(images, np.ndarray) else type(images).__name__
