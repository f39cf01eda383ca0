"""Grids of panels with one legend, and files that come out the same twice."""

import math
import os
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, cast

import matplotlib
from matplotlib.artist import Artist
from matplotlib.axes import Axes
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure, SubFigure
from matplotlib.transforms import Bbox

from .style import PNG_DPI, current_style, default_width, scale

__all__ = ["Panels", "empty_figure", "legend_below", "panel_grid", "save", "settled", "small_multiples"]

_FORMATS: dict[str, dict[str, Any]] = {
    "pdf": {"CreationDate": None},
    "png": {"Software": None},
    "svg": {"Date": None, "Creator": None},
}
_LINE = 0.16  # inches of a legend's line
_SAVING: Any = {
    "pdf.fonttype": 42,  # embed TrueType outlines: journals refuse Type 3
    "svg.fonttype": "none",
    "svg.hashsalt": "intertwine",
    "savefig.bbox": None,  # a figure keeps its width
}


@dataclass(frozen=True)
class Panels:
    """Panels of one size, in reading order.

    borrowed: they are the caller's axes, whose figure is left alone. columns: panels side by side. under: a legend is
    under them.
    """

    figure: Figure
    axes: list[Axes]
    borrowed: bool = False
    columns: int = 1
    under: bool = False

    def name(self, *, x: str = "", y: str = "") -> None:
        """Name the axes once for all panels."""
        if len(self.axes) == 1:
            self.axes[0].set(xlabel=x, ylabel=y)
            return
        size = matplotlib.rcParams["axes.labelsize"]
        colour = matplotlib.rcParams["axes.labelcolor"]
        if x and self.under:  # a name of the figure would lie on the legend
            for axes in self.axes[-self.columns :]:
                axes.set_xlabel(x)
        elif x:
            self.figure.supxlabel(x, fontsize=size, color=colour)
        if y:
            self.figure.supylabel(y, fontsize=size, color=colour)

    def finished(self) -> Figure:
        """The figure, with its layout fixed if it is ours."""
        return self.figure if self.borrowed else settled(self.figure)


def small_multiples(
    n: int,
    *,
    each: float,
    height: float,
    width: float | None = None,
    most: int = 4,
    legend: Sequence[Artist] = (),
    ax: Axes | None = None,
    sharex: bool = True,
    sharey: bool = True,
) -> Panels:
    """``n`` panels in even rows and one legend: in the hole that they leave, if it fits, or below.

    Sizes are in inches at a font of 7 points, and grow with the font. The figure is at most as high as the style in
    force allows.

    Args:
        each: least width of a panel. height: of a panel with its title and ticks.
        width: of the figure; by default that of the style in force, or of the user's figures.
        most: largest number of panels side by side.
        legend: handles with labels.
        ax: draw here instead; only for a single panel.

    Raises:
        ValueError: ``ax`` is given and ``n`` is not 1.
    """
    if ax is not None:
        if n != 1:
            raise ValueError(f"ax: expected data of one panel, received {n} panels; leave ax out for a figure")
        if legend:
            ax.legend(handles=list(legend))
        return Panels(cast(Figure, ax.get_figure(root=True)), [ax], borrowed=True)
    width = default_width() if width is None else width
    rows, columns = panel_grid(n, width / scale(), each=each, most=most)
    hole = rows * columns - n
    room = width * hole / columns
    inside = (
        bool(hole and legend)
        and _entry(legend) <= room - 0.35 * scale()
        and _lines(legend, room) * _LINE <= height - 0.3
    )
    if hole and not inside:
        rows, columns = _even(n, rows, columns)
        hole = rows * columns - n
    lines = 0 if inside else _lines(legend, width)
    figure = empty_figure(width, scale() * (rows * height + lines * _LINE + 0.25))
    grid = figure.add_gridspec(rows, columns)
    axes: list[Axes] = []
    for i in range(n):
        first = axes[0] if axes else None
        axes.append(
            figure.add_subplot(
                grid[divmod(i, columns)], sharex=first if sharex else None, sharey=first if sharey else None
            )
        )
        axes[-1].tick_params(
            labelbottom=not sharex or bool(hole) or i + columns >= n, labelleft=not sharey or not i % columns
        )
    if inside:
        spare = figure.add_subplot(grid[rows - 1, columns - hole :])
        spare.set_axis_off()
        spare.legend(handles=list(legend), loc="center", ncols=_columns(legend, room))
        spare.set_in_layout(False)
    else:
        legend_below(figure, legend, width)
    return Panels(figure, axes, columns=columns, under=bool(legend) and not inside)


def legend_below(figure: Figure, legend: Sequence[Artist], width: float) -> None:
    """A legend under all panels, if there is anything to say."""
    if legend:
        figure.legend(handles=list(legend), loc="outside lower center", ncols=_columns(legend, width))


def _columns(legend: Sequence[Artist], width: float) -> int:
    """So many entries beside each other fit into the width."""
    fit = max(1, int((width - 0.1) / _entry(legend)))
    return max(1, math.ceil(len(legend) / math.ceil(len(legend) / fit)) if legend else 1)


def _entry(legend: Sequence[Artist]) -> float:
    """Inches of the longest entry with its mark."""
    return scale() * (0.049 * max((len(str(entry.get_label())) for entry in legend), default=0) + 0.38)


def _lines(legend: Sequence[Artist], width: float) -> int:
    return math.ceil(len(legend) / _columns(legend, width))


def _even(n: int, rows: int, columns: int) -> tuple[int, int]:
    """Rows and columns without a hole, if there are any that are not much longer; the old ones otherwise."""
    for fewer in range(columns - 1, max(1, columns // 2), -1):
        if n % fewer == 0 and n // fewer <= rows + 1:
            return n // fewer, fewer
    return rows, columns


def panel_grid(panels: int, width: float, *, each: float, most: int) -> tuple[int, int]:
    """Rows and columns for ``panels`` panels of at least ``each`` inches, at most ``most`` side by side.

    >>> panel_grid(5, 6.8, each=2, most=3)
    (2, 3)
    """
    rows = math.ceil(panels / max(1, min(panels, most, int(width / each))))
    return rows, math.ceil(panels / rows)


def empty_figure(width: float, height: float) -> Figure:
    """A figure of that size in inches, unknown to pyplot, and no higher than the style in force allows."""
    if not (math.isfinite(width) and width > 0):
        raise ValueError(f"width: expected a positive number of inches, received {width!r}")
    found = current_style()
    figure = Figure(figsize=(width, min(height, found.tallest) if found else height), layout="constrained")
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


def save(
    figure: Figure, path_without_suffix: str | os.PathLike[str], formats: Sequence[str] = ("pdf", "png")
) -> list[Path]:
    """Write ``<path>.pdf`` (vector, fonts embedded), ``<path>.png`` (300 dpi) or ``<path>.svg``; return the paths.

    Each file appears whole or not at all. No dates are written: the same data give the same bytes.

    Raises:
        ValueError: another format.
    """
    if isinstance(formats, str) or any(name not in _FORMATS for name in formats):
        raise ValueError(f"format: expected any of {', '.join(_FORMATS)}, received {formats!r}")
    stem = Path(path_without_suffix)
    stem.parent.mkdir(parents=True, exist_ok=True)
    written = []
    with matplotlib.rc_context(_SAVING):
        for suffix in formats:
            final = stem.with_name(f"{stem.name}.{suffix}")  # with_suffix would eat the end of "run-0.5"
            temporary = stem.with_name(f".{final.name}.{os.getpid()}.tmp")
            try:
                figure.savefig(temporary, format=suffix, dpi=PNG_DPI, metadata=_FORMATS[suffix])
                os.replace(temporary, final)
            finally:
                temporary.unlink(missing_ok=True)
            written.append(final)
    return written
