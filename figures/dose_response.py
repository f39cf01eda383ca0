"""Readings against a dose: one panel a reading, a line of means and a dot a seed for each arm."""

from collections.abc import Sequence
from typing import Any

import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.lines import Line2D

from .canvas import small_multiples
from .frames import arms_in_order, checked
from .style import MUTED, arm_styles, line_of, mark_size

__all__ = ["dose_response"]


def dose_response(
    points: pd.DataFrame,
    *,
    titles: Sequence[str],
    x_label: str = "dose",
    width: float | None = None,
    ax: Axes | None = None,
) -> Figure:
    """Means over seeds of each reading by dose, with the seeds as small dots.

    Args:
        points: columns ``title`` (of the reading), ``arm``, ``dose`` and ``value``, a line a seed.
        titles: the readings to draw, in this order; those without points are left out.
        ax: draw a single reading here.
    """
    points = checked(points, "points", texts=("title", "arm"), numbers=("dose", "value"))
    shown = [title for title in titles if (points["title"] == title).any()]
    if not shown:
        raise ValueError(f"points: expected points of {', '.join(titles)}, received none")
    looks = arm_styles(arms_in_order(points["arm"]))
    legend = [Line2D([], [], **line_of(look), label=arm) for arm, look in looks.items()]
    panels = small_multiples(len(shown), each=1.5, height=1.5, width=width, most=3, legend=legend, ax=ax, sharey=False)
    for axes, title in zip(panels.axes, shown, strict=True):
        axes.axhline(0, color=MUTED, linewidth=0.5, zorder=0)
        for arm, look in looks.items():
            of = points[(points["title"] == title) & (points["arm"] == arm)]
            means = of.groupby("dose")["value"].mean()
            dots: dict[str, Any] = {
                "linestyle": "",
                "marker": ".",
                "markersize": mark_size(0.8),
                "color": look.color,
                "alpha": 0.6,
            }
            axes.plot(of["dose"], of["value"], **dots)
            axes.plot(means.index, means, **line_of(look), gid=f"{title}/{arm}")
        axes.set_title(title)
        axes.locator_params(axis="y", nbins=5)
    panels.name(x=x_label)
    return panels.finished()
