"""Detectors at all thresholds: the share of poisons that is found, against the rate of false alarms."""

from collections.abc import Mapping
from typing import Any

import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from matplotlib.patheffects import withStroke

from .canvas import small_multiples
from .frames import arms_in_order, checked, over_runs
from .style import MUTED, SMALL, ArmStyle, arm_styles, capital, line_width, number, scale

__all__ = ["roc"]


def roc(
    curves: pd.DataFrame,
    *,
    aurocs: pd.DataFrame | None = None,
    labels: Mapping[str, str] | None = None,
    width: float | None = None,
    ax: Axes | None = None,
) -> Figure:
    """One panel a detector, one stepped line an arm: the true-positive rate at each false-positive rate.

    Lines are medians over seeds, bands the middle half of them; dotted is chance. Between two false-positive rates the
    line stays at the lower one's value. The axis is logarithmic, from the lowest rate above 0.

    Args:
        curves: columns defence, arm, seed, x (false-positive rate) and value (true-positive rate). All seeds must have
            the same x.
        aurocs: columns defence, arm, seed and value; medians over seeds stand in the panels, in the arms' colours.
        labels: defence → its name.
        ax: draw a single detector here.
    """
    curves = checked(curves, "curves", texts=("defence", "arm"), numbers=("seed", "x", "value"))
    curves = curves[curves["x"] > 0]
    if curves.empty:
        raise ValueError("curves: expected false-positive rates above 0, received none")
    areas = aurocs if aurocs is None else checked(aurocs, "aurocs", texts=("defence", "arm"), numbers=("value",))
    names = list(dict.fromkeys(curves["defence"]))
    looks = arm_styles(arms_in_order(curves["arm"]))
    legend = [
        *(Line2D([], [], **_line(look), label=arm) for arm, look in looks.items()),
        Line2D([], [], color=MUTED, linestyle=":", label="chance"),
    ]
    panels = small_multiples(len(names), each=1.45, height=1.35, width=width, legend=legend, ax=ax)
    x = sorted(curves["x"].unique())
    for axes, name in zip(panels.axes, names, strict=True):
        own = curves[curves["defence"] == name]
        axes.plot(x, x, color=MUTED, linestyle=":", linewidth=line_width(0.7), zorder=0)
        for arm, look in looks.items():
            over = over_runs(own[own["arm"] == arm], "x", "value")
            axes.fill_between(over.index, over["low"], over["high"], step="post", color=look.color, alpha=0.18, lw=0)
            axes.plot(
                over.index, over["median"], drawstyle="steps-post", **_line(look), gid=f"{arm}/{name}",
            )  # fmt: skip
        if areas is not None:
            _write(axes, areas[areas["defence"] == name], looks)
        axes.set_title(capital((labels or {}).get(name, name)))
        axes.set(xscale="log", xlim=(min(x), 1), ylim=(-0.03, 1.03), yticks=[0, 0.5, 1])
    panels.name(x="false-positive rate", y="true-positive rate")
    return panels.finished()


def _line(look: ArmStyle) -> dict[str, Any]:
    return {"color": look.color, "linestyle": look.linestyle}


def _write(axes: Axes, areas: pd.DataFrame, looks: Mapping[str, ArmStyle]) -> None:
    """AUROC of each arm in a corner that curves leave free: above them if all are low, or else below."""
    medians = areas.groupby("arm")["value"].median().dropna()
    lines = [("AUROC", "black"), *((number(medians[arm]), look.color) for arm, look in looks.items() if arm in medians)]
    above = len(medians) and medians.max() < 0.8
    corner, step = ((0.0, 1.0), -1) if above else ((1.0, 0.0), 1)
    align: dict[str, Any] = {"ha": "left", "va": "top"} if above else {"ha": "right", "va": "bottom"}
    for place, (text, color) in enumerate(lines if above else reversed(lines)):
        offset = (3 if above else -2, step * (2 + 6.5 * scale() * place))
        axes.annotate(
            text, corner, offset, xycoords="axes fraction", textcoords="offset points", fontsize=SMALL, color=color,
            path_effects=[withStroke(linewidth=1.5, foreground="white")], **align,
        )  # fmt: skip
