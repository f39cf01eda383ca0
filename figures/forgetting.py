"""ACC lost against ASR lost while an encoder forgets: does the benign task go with the backdoor?"""

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.lines import Line2D

from .canvas import empty_figure, panel_grid, settled
from .frames import arms_in_order, checked
from .style import FAINT, MUTED, TWO_COLUMN, ArmStyle, arm_styles, marked, style

__all__ = ["forgetting"]

DASHED = (0, (3, 1.5))


def forgetting(points: pd.DataFrame, *, width: float = TWO_COLUMN) -> Figure:
    """One panel a way of forgetting, one marker a stop: the ASR and the ACC lost since the start, means over runs.

    Dashed, at the same ASR lost: the ACC that the benign twin loses under the same treatment. Along the bottom the
    backdoor goes alone; on the diagonal the benign task goes with it.

    ``points`` has the columns run, arm, path, measure (``acc`` and ``asr``), reference ("" or ``benign``), x and value.
    x are steps from 0, values shares in [0, 1]. A run that stops early is left out of the later means.
    """
    texts = ("run", "arm", "path", "measure", "reference")
    points = checked(points, "points", texts=texts, numbers=("x", "value"))
    lost, ways = _lost(points), list(dict.fromkeys(points["path"]))
    looks = arm_styles(arms_in_order(lost["arm"]))
    rows, columns = panel_grid(len(ways), width, each=1.5, most=4)
    legend_columns = max(2, int(width / 1.3))
    entries = [
        *(Line2D([], [], label=arm, **marked(look, 3.5)) for arm, look in looks.items()),
        Line2D([], [], color=MUTED, linestyle=DASHED, label="its benign twin"),
    ]
    with style():
        figure = empty_figure(width, rows * 1.9 + 0.15 * -(-len(entries) // legend_columns) + 0.2)
        grid = figure.subplots(rows, columns, squeeze=False, sharex=True, sharey=True)
        for position, (axes, way) in enumerate(zip(grid.flat, ways, strict=False)):
            _draw(axes, lost[lost["path"] == way], looks, way)
            axes.set_ylim(*_limits(lost))
            if position + columns >= len(ways):
                axes.tick_params(labelbottom=True)
                axes.set_xlabel("ASR lost")
        for spare in grid.flat[len(ways) :]:
            spare.remove()
        for axes in grid[:, 0]:
            axes.set_ylabel("ACC lost")
        figure.legend(handles=entries, loc="outside lower center", ncols=legend_columns)
        return settled(figure)


def _lost(points: pd.DataFrame) -> pd.DataFrame:
    """What each run has lost at each stop: columns run, arm, path, x, asr, acc, benign twin."""
    keys = ["run", "arm", "path", "x"]
    kind = points["reference"].where(points["reference"] != "", points["measure"])
    wanted = points[kind.isin(["acc", "asr"]) | ((kind == "benign") & (points["measure"] == "acc"))]
    table = wanted.assign(kind=kind).pivot_table(index=keys, columns="kind", values="value").reset_index()
    for column in ("acc", "asr", "benign"):
        table[column] = table.get(column, np.nan)
        start = table[column].where(table["x"] == 0).groupby([table["run"], table["path"]]).transform("max")
        table[column] = start - table[column]
    return table


def _limits(lost: pd.DataFrame) -> tuple[float, float]:
    """Of ACC lost: all that is drawn, and a tenth at least, so that noise does not fill the panel."""
    values = lost[["acc", "benign"]].to_numpy(dtype=float)
    low, high = min(float(np.nanmin(values)), 0.0), max(float(np.nanmax(values)), 0.1)
    return low - 0.05 * (high - low), high + 0.05 * (high - low)


def _draw(axes: Axes, lost: pd.DataFrame, looks: dict[str, ArmStyle], way: str) -> None:
    axes.axhline(0, color=FAINT, linewidth=0.7, zorder=0)
    axes.plot([0, 1], [0, 1], color=FAINT, linewidth=0.7, zorder=0)
    for arm, look in looks.items():
        own = lost[lost["arm"] == arm]
        if own.empty:
            continue
        for _, run in own.groupby("run"):
            axes.plot(run["asr"], run["acc"], color=look.color, linewidth=0.4, alpha=0.3, zorder=1)
        mean = own.groupby("x")[["asr", "acc", "benign"]].mean()
        axes.plot(
            mean["asr"], mean["acc"], color=look.color, marker=look.marker, markersize=3, gid=f"{way}/{arm}", zorder=3
        )
        axes.plot(
            mean["asr"],
            mean["benign"],
            color=look.color,
            linestyle=DASHED,
            linewidth=0.8,
            gid=f"benign/{way}/{arm}",
        )
    axes.set_title(way.replace("-", " "), loc="left")
    axes.locator_params(nbins=5)
