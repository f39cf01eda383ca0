"""ACC lost against ASR lost while an encoder forgets: does the benign task go with the backdoor?"""

from collections.abc import Mapping

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.lines import Line2D

from .canvas import small_multiples
from .frames import arms_in_order, checked
from .style import FAINT, MUTED, NOTE, SMALL, ArmStyle, arm_styles, capital, in_words, line_width, mark_size, marked

__all__ = ["forgetting"]

DASHED = (0, (3, 1.5))


def forgetting(
    points: pd.DataFrame,
    *,
    labels: Mapping[str, str] | None = None,
    width: float | None = None,
    ax: Axes | None = None,
) -> Figure:
    """One panel a way of forgetting, one marker a stop: the ASR and the ACC lost since the start, means over runs.

    Dashed with dots, at the same ASR lost: the ACC that the benign twin loses under the same treatment. Along the
    bottom the backdoor goes alone; on the grey diagonal both are forgotten. The axis of ACC lost is that of the data.

    Args:
        points: columns run, arm, path, measure (``acc`` and ``asr``), reference ("" or ``benign``), x and value. x are
            steps from 0, values shares in [0, 1]. A run that stops early is left out of the later means.
        labels: path → its name.
        ax: draw a single way here.
    """
    texts = ("run", "arm", "path", "measure", "reference")
    points = checked(points, "points", texts=texts, numbers=("x", "value"))
    lost, ways = _lost(points), list(dict.fromkeys(points["path"]))
    looks = arm_styles(arms_in_order(lost["arm"]))
    legend = [
        *(Line2D([], [], label=arm, **marked(look)) for arm, look in looks.items()),
        Line2D([], [], color=MUTED, linestyle=DASHED, marker=".", label="its benign twin"),
    ]
    panels = small_multiples(len(ways), each=1.4, height=1.8, width=width, legend=legend, ax=ax)
    for axes, way in zip(panels.axes, ways, strict=True):
        axes.set_ylim(*_limits(lost))
        _draw(axes, lost[lost["path"] == way], looks, way)
        axes.set_title(capital(in_words(way, labels)), fontsize=SMALL)
    panels.name(x="ASR lost", y="ACC lost")
    return panels.finished()


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
    top = axes.get_ylim()[1]
    axes.axhline(0, color=FAINT, linewidth=0.7, zorder=0)
    axes.plot([0, min(1, top)], [0, min(1, top)], color="#BBBBBB", linewidth=0.7, zorder=0)
    axes.text(min(1, top) * 0.93, min(1, top) * 0.97, "both ", ha="right", va="top", fontsize=SMALL, color=NOTE)
    for arm, look in looks.items():
        own = lost[lost["arm"] == arm]
        if own.empty:
            continue
        mean = own.groupby("x")[["asr", "acc", "benign"]].mean()
        axes.plot(
            mean["asr"], mean["benign"], color=look.color, linestyle=DASHED, marker=".", markersize=mark_size(0.7),
            linewidth=line_width(0.6), gid=f"benign/{way}/{arm}", zorder=2,
        )  # fmt: skip
        axes.plot(
            mean["asr"], mean["acc"], color=look.color, marker=look.marker, markersize=mark_size(0.9),
            gid=f"{way}/{arm}", zorder=3,
        )  # fmt: skip
    axes.locator_params(nbins=5)
