"""ACC and ASR on the straight line between the weights of a benign encoder and of a poisoned one."""

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.lines import Line2D

from .canvas import empty_figure, panel_grid, settled
from .frames import arms_in_order, checked, over_runs
from .style import MUTED, TWO_COLUMN, ArmStyle, arm_styles, style

__all__ = ["interpolation"]

DASHED, DOTTED = (0, (3, 1.5)), (0, (1, 1.5))


def interpolation(points: pd.DataFrame, *, width: float = TWO_COLUMN) -> Figure:
    """One panel an arm: mean over runs, with a band from the lowest to the highest.

    Dotted, the ``permuted`` control: the line to the same function with its channels in another order.

    ``points`` has the columns run, arm, measure (``acc`` and ``asr``), reference, x (0: benign twin, 1: poisoned
    encoder) and value, a share in [0, 1].
    """
    texts = ("run", "arm", "measure", "reference")
    points = checked(points, "points", texts=texts, numbers=("x", "value"))
    looks = arm_styles(arms_in_order(points["arm"]))
    rows, columns = panel_grid(len(looks), width, each=1.3, most=5)
    with style():
        figure = empty_figure(width, 0.35 + 1.4 * rows)
        grid = figure.subplots(rows, columns, squeeze=False, sharex=True, sharey=True)
        for position, (axes, (arm, look)) in enumerate(zip(grid.flat, looks.items(), strict=False)):
            _draw(axes, points[points["arm"] == arm], arm, look)
            if position + columns >= len(looks):
                axes.tick_params(labelbottom=True)
                axes.set_xlabel("from benign to poisoned")
        for spare in grid.flat[len(looks) :]:
            spare.remove()
        grid[0, 0].set(xlim=(0, 1), ylim=(-0.04, 1.06))
        grid[0, 0].set_xticks([0, 0.5, 1], ["0", "½", "1"])
        for axes in grid[:, 0]:
            axes.set_ylabel("rate")
        figure.legend(
            handles=[
                Line2D([], [], color=MUTED, label="ACC (in the arm's colour)"),
                Line2D([], [], color="black", linestyle=DASHED, label="ASR"),
                Line2D([], [], color=MUTED, linestyle=DOTTED, label="channels permuted"),
            ],
            loc="outside lower center",
            ncols=3 if width > 5 else 2,
        )
        return settled(figure)


def _draw(axes: Axes, points: pd.DataFrame, arm: str, look: ArmStyle) -> None:
    for measure, color, dashes in (("acc", look.color, "-"), ("asr", "black", DASHED)):
        chosen = points[(points["measure"] == measure) & np.isfinite(points["value"])]
        curves = over_runs(chosen[chosen["reference"] == ""], "x", "value")
        control = over_runs(chosen[chosen["reference"] == "permuted"], "x", "value")
        axes.fill_between(curves.index, curves["min"], curves["max"], color=color, alpha=0.18, linewidth=0)
        axes.plot(curves.index, curves["mean"], color=color, linestyle=dashes, gid=f"{measure}/{arm}")
        axes.plot(
            control.index,
            control["mean"],
            color=color,
            linestyle=DOTTED,
            linewidth=0.9,
            gid=f"permuted/{measure}/{arm}",
        )
    axes.set_title(arm, loc="left")
    axes.locator_params(axis="y", nbins=4)
