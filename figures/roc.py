"""Detectors at all thresholds: the share of poisons that is found, against the rate of false alarms."""

import pandas as pd
from matplotlib.figure import Figure
from matplotlib.lines import Line2D

from .canvas import empty_figure, panel_grid, settled
from .frames import arms_in_order, checked
from .style import MUTED, TWO_COLUMN, arm_styles, style

__all__ = ["roc"]


def roc(curves: pd.DataFrame, *, width: float = TWO_COLUMN) -> Figure:
    """One panel a detector, one line an arm: mean over seeds of the true-positive rate at each false-positive rate.

    The band spans the lowest to the highest; dotted is chance. The false-positive rate has a logarithmic axis, from its
    lowest value above 0.

    ``curves``: columns defence, arm, seed, x (false-positive rate) and value (true-positive rate). All seeds must have
    the same x.
    """
    curves = checked(curves, "curves", texts=("defence", "arm"), numbers=("seed", "x", "value"))
    curves = curves[curves["x"] > 0]
    if curves.empty:
        raise ValueError("curves: expected false-positive rates above 0, received none")
    names = list(dict.fromkeys(curves["defence"]))
    looks = arm_styles(arms_in_order(curves["arm"]))
    n_rows, n_columns = panel_grid(len(names), width, each=1.5, most=4)
    legend_columns = max(2, int(width / 1.3))
    entries = [
        *(Line2D([], [], color=look.color, label=arm) for arm, look in looks.items()),
        Line2D([], [], color=MUTED, linestyle=":", label="chance"),
    ]
    with style():
        figure = empty_figure(width, n_rows * 1.55 + 0.15 * -(-len(entries) // legend_columns) + 0.2)
        grid = figure.subplots(n_rows, n_columns, squeeze=False, sharex=True, sharey=True)
        for position, (axes, name) in enumerate(zip(grid.flat, names, strict=False)):
            own = curves[curves["defence"] == name]
            x = sorted(curves["x"].unique())
            axes.plot(x, x, color=MUTED, linestyle=":", linewidth=0.8, zorder=0)
            for arm, look in looks.items():
                over = own[own["arm"] == arm].groupby("x")["value"].agg(["mean", "min", "max"])
                axes.fill_between(over.index, over["min"], over["max"], color=look.color, alpha=0.15, linewidth=0)
                axes.plot(over.index, over["mean"], color=look.color, gid=f"{arm}/{name}")
            axes.set_title(name, loc="left")
            if position + n_columns >= len(names):
                axes.tick_params(labelbottom=True)
                axes.set_xlabel("false-positive rate")
        for spare in grid.flat[len(names) :]:
            spare.remove()
        grid[0, 0].set_xscale("log")
        grid[0, 0].set_xlim(min(curves["x"]), 1)
        grid[0, 0].set_ylim(-0.03, 1.03)
        grid[0, 0].set_yticks([0, 0.5, 1])
        for axes in grid[:, 0]:
            axes.set_ylabel("true-positive rate")
        figure.legend(handles=entries, loc="outside lower center", ncols=legend_columns)
        return settled(figure)
