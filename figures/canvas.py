"""An empty figure, its grid of panels, and files that come out the same twice."""

import math
import os
from pathlib import Path

from matplotlib.axes import Axes
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure, SubFigure
from matplotlib.transforms import Bbox

from .style import PNG_DPI, style

__all__ = ["empty_figure", "panel_grid", "save", "settled"]


def panel_grid(panels: int, width: float, *, each: float, most: int) -> tuple[int, int]:
    """Rows and columns for ``panels`` panels of at least ``each`` inches, at most ``most`` side by side.

    >>> panel_grid(5, 6.8, each=2, most=3)
    (2, 3)
    """
    rows = math.ceil(panels / max(1, min(panels, most, int(width / each))))
    return rows, math.ceil(panels / rows)


def empty_figure(width: float, height: float) -> Figure:
    """A figure of that size in inches, unknown to pyplot."""
    if not (math.isfinite(width) and width > 0):
        raise ValueError(f"width: expected a positive number of inches, received {width!r}")
    figure = Figure(figsize=(width, height), layout="constrained")
    FigureCanvasAgg(figure)
    return figure


def settled(figure: Figure) -> Figure:
    """The figure with its layout worked out and fixed.

    The layout engine starts from the last positions at every drawing. Without this, a figure saved twice would differ
    in the fifth digit. The second pass here sees the sizes that the first one chose. Axes must fix their number of
    ticks: otherwise a pass could change the labels that it made room for.

    The solver's sums depend on where in memory its variables lie: positions differ by 1e-14 between drawings. That is
    enough for another digit in a file, so positions are rounded to a millionth of the figure.
    """
    for _ in range(2):
        figure.draw_without_rendering()
    figure.set_layout_engine("none")
    for part in figure.findobj(SubFigure):
        part.bbox_relative.set_points(part.bbox_relative.get_points().round(6))
    for axes in figure.findobj(Axes):
        axes.set_position(Bbox(axes.get_position(original=True).get_points().round(6)))
    return figure


def save(figure: Figure, path_without_suffix: str | os.PathLike[str]) -> list[Path]:
    """Write ``<path>.pdf`` (vector, fonts embedded) and ``<path>.png``; return both paths.

    Each file appears whole or not at all. No dates are written: the same data give the same bytes.
    """
    stem = Path(path_without_suffix)
    stem.parent.mkdir(parents=True, exist_ok=True)
    written = []
    with style():
        for suffix, metadata in ((".pdf", {"CreationDate": None}), (".png", {"Software": None})):
            final = stem.with_name(stem.name + suffix)  # with_suffix would eat the end of "run-0.5"
            temporary = stem.with_name(f".{final.name}.{os.getpid()}.tmp")
            try:
                figure.savefig(temporary, format=suffix[1:], dpi=PNG_DPI, metadata=metadata)
                os.replace(temporary, final)
            finally:
                temporary.unlink(missing_ok=True)
            written.append(final)
    return written
