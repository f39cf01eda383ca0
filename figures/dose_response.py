"""Readings against a dose: one panel a reading, a line of means and a dot a seed for each arm."""

from collections.abc import Sequence

import pandas as pd
from matplotlib.figure import Figure

from .canvas import empty_figure, panel_grid
from .frames import arms_in_order, checked
from .style import TWO_COLUMN, arm_styles, style

__all__ = ["dose_response"]


def dose_response(
    points: pd.DataFrame, *, titles: Sequence[str], x_label: str = "dose", width: float = TWO_COLUMN
) -> Figure:
    """Means over seeds of each reading by dose, with the seeds as small dots.

    Args:
        points: columns ``title`` (of the reading), ``arm``, ``dose`` and ``value``, a line a seed.
        titles: the readings to draw, in this order; those without points are left out.
    """
    points = checked(points, "points", texts=("title", "arm"), numbers=("dose", "value"))
    shown = [title for title in titles if (points["title"] == title).any()]
    if not shown:
        raise ValueError(f"points: expected points of {', '.join(titles)}, received none")
    looks = arm_styles(arms_in_order(points["arm"]))
    rows, columns = panel_grid(len(shown), width, each=2, most=3)
    with style():
        figure = empty_figure(width, 0.5 + 1.6 * rows)
        grid = figure.subplots(rows, columns, squeeze=False, sharex=True)
        for axes, title in zip(grid.flat, shown, strict=False):
            axes.axhline(0, color="#bbbbbb", linewidth=0.6, zorder=0)
            for arm, look in looks.items():
                of = points[(points["title"] == title) & (points["arm"] == arm)]
                means = of.groupby("dose")["value"].mean()
                axes.plot(of["dose"], of["value"], linestyle="", marker=".", markersize=3, color=look.color, alpha=0.6)
                axes.plot(means.index, means, color=look.color, marker=look.marker, markersize=4, label=arm)
            axes.set_title(title, loc="left")
        for axes in grid.flat[len(shown) :]:
            axes.set_visible(False)
        for axes in grid[-1]:
            axes.set_xlabel(x_label)
        handles, labels = grid.flat[0].get_legend_handles_labels()
        figure.legend(handles, labels, loc="outside lower center", ncols=len(labels))
    return figure
