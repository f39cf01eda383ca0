"""What a unit responds to: the images that activate it most."""

from collections.abc import Sequence

import numpy as np
from matplotlib.figure import Figure

from .canvas import empty_figure, settled
from .style import NOTE, ROLES, SMALL, default_width, line_width, number, scale

__all__ = ["top_images"]

_LARGEST_CELL = 0.62  # inches


def top_images(
    images: np.ndarray,
    activations: np.ndarray,
    triggered: np.ndarray,
    *,
    units: Sequence[int],
    titles: Sequence[str] = (),
    most: int = 8,
    width: float | None = None,
) -> Figure:
    """One row a unit: its ``most`` images of largest activation, largest first, with the activation below each.

    Images with the trigger have a coloured frame.

    Args:
        images: uint8 ``(n, 3, H, W)``, clean and triggered ones. triggered: bool ``(n,)``.
        activations: ``(n, d)``. units: columns to show. titles: a name for each row, by default the unit's number.
    """
    if not isinstance(images, np.ndarray) or images.dtype != np.uint8 or images.ndim != 4 or images.shape[1] != 3:
        raise ValueError(f"images: expected a uint8 array (n, 3, H, W), received {getattr(images, 'shape', images)!r}")
    activations, triggered = np.asarray(activations, dtype=float), np.asarray(triggered, dtype=bool)
    if activations.ndim != 2 or len(activations) != len(images) or triggered.shape != (len(images),):
        raise ValueError(
            f"activations: expected (n, d) with triggered (n,) for {len(images)} images, "
            f"received {activations.shape} and {triggered.shape}"
        )
    if not len(units) or not all(0 <= unit < activations.shape[1] for unit in units):
        raise ValueError(f"units: expected columns below {activations.shape[1]}, received {list(units)!r}")
    names = list(titles) or [f"unit {unit}" for unit in units]
    if len(names) != len(units):
        raise ValueError(f"titles: expected {len(units)} names, received {len(names)}")
    most = min(most, len(images))
    width = default_width() if width is None else width
    room = (0.15 + 0.06 * max(map(len, names))) * scale()
    cell = min((width - room) / most, _LARGEST_CELL * scale())
    figure = empty_figure(cell * most + room, (cell * images.shape[2] / images.shape[3] + 0.2 * scale()) * len(units))
    grid = figure.subplots(len(units), most, squeeze=False)
    for line, unit, name in zip(grid, units, names, strict=True):
        order = np.argsort(-activations[:, unit], kind="stable")[:most]
        for axes, i in zip(line, order, strict=True):
            axes.imshow(images[i].transpose(1, 2, 0), interpolation="nearest", gid=f"{unit}/{i}")
            axes.set(xticks=[], yticks=[])
            axes.set_xlabel(number(activations[i, unit], 1), fontsize=SMALL, color=NOTE, labelpad=1)
            frame = (
                {"visible": True, "color": ROLES["hits"], "linewidth": line_width(1.5)}
                if triggered[i]
                else {"visible": False}
            )
            axes.spines[:].set(**frame)
        line[0].set_ylabel(name, rotation=0, ha="right", va="center")
    return settled(figure)
