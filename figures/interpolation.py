"""ACC and ASR on the straight line between the weights of a benign encoder and of a poisoned one."""

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.lines import Line2D

from .canvas import small_multiples
from .frames import arms_in_order, checked, over_runs
from .style import MUTED, arm_styles, line_width

__all__ = ["interpolation"]

DASHED, DOTTED = (0, (3, 1.5)), (0, (1, 1.5))
TITLES = {"asr": "ASR", "acc": "ACC"}


def interpolation(points: pd.DataFrame, *, width: float | None = None, ax: Axes | None = None) -> Figure:
    """A panel for ASR and one for ACC, one line an arm: medians over runs, with the middle half of them.

    Dotted, the ``permuted`` control: the line to the same function with its channels in another order.

    ``points`` has the columns run, arm, measure (``acc``, ``asr``), reference, x (0: benign twin, 1: poisoned encoder)
    and value, a share in [0, 1]. ``ax``: draw a single measure here.
    """
    texts = ("run", "arm", "measure", "reference")
    points = checked(points, "points", texts=texts, numbers=("x", "value"))
    looks = arm_styles(arms_in_order(points["arm"]))
    measures = [measure for measure in TITLES if measure in set(points["measure"])]
    legend = [
        *(Line2D([], [], color=look.color, label=arm) for arm, look in looks.items()),
        Line2D([], [], color=MUTED, linestyle=DOTTED, label="channels permuted"),
    ]
    panels = small_multiples(len(measures), each=1.4, height=1.7, width=width, legend=legend, ax=ax)
    for axes, measure in zip(panels.axes, measures, strict=True):
        for arm, look in looks.items():
            own = points[(points["measure"] == measure) & (points["arm"] == arm) & np.isfinite(points["value"])]
            curves, control = (over_runs(own[own["reference"] == r], "x", "value") for r in ("", "permuted"))
            axes.fill_between(curves.index, curves["low"], curves["high"], color=look.color, alpha=0.18, linewidth=0)
            axes.plot(curves.index, curves["median"], color=look.color, gid=f"{measure}/{arm}")
            axes.plot(
                control.index, control["median"], color=look.color, linestyle=DOTTED, linewidth=line_width(0.8),
                gid=f"permuted/{measure}/{arm}",
            )  # fmt: skip
        axes.set_title(TITLES[measure])
        axes.set(xlim=(0, 1), ylim=(-0.04, 1.06))
        axes.set_xticks([0, 0.5, 1], ["0", "½", "1"])
        axes.locator_params(axis="y", nbins=4)
    panels.name(x="benign twin → poisoned", y="rate")
    return panels.finished()
