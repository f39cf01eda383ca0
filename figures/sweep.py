"""Readings against the field that a grid of studies varies: poison fraction, strength of the trigger or target."""

from collections.abc import Mapping, Sequence

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.lines import Line2D

from .canvas import small_multiples
from .frames import ROW_NUMBERS, ROW_TEXTS, arms_in_order, checked, split
from .style import FAINT, MUTED, ArmStyle, arm_styles, capital, hollow, in_words, line_width, mark_size, marked

__all__ = ["sweep"]

DASHED = (0, (3, 1.5))


def sweep(
    rows: pd.DataFrame,
    *,
    field: str,
    measures: Sequence[str],
    labels: Mapping[str, str] | None = None,
    ranges: Mapping[str, tuple[float, float]] | None = None,
    width: float | None = None,
    ax: Axes | None = None,
) -> Figure:
    """One panel a measure: the mean over runs of each arm at each value of ``field``.

    Bars span the lowest to the highest; dashed: the benign twins of the same runs. Values keep the order of the rows,
    at equal distances. If no run is ok, the point is hollow and grey: the mean of those that have a value.

    ``rows``: the table of results with ``field`` as another column, filtered to one epoch, layer and subset for each
    measure. ``labels``: measure → title. ``ranges``: measure → the ends of its axis, for quantities whose scale matters
    more than their noise. ``ax``: draw a single measure here.
    """
    rows = checked(rows, "rows", texts=(*ROW_TEXTS, field), numbers=ROW_NUMBERS)
    absent = [measure for measure in measures if measure not in set(rows["measure"])]
    if absent:
        raise ValueError(f"measures: expected names among those in rows, received {', '.join(absent)}")
    values = list(dict.fromkeys(rows[field]))
    looks = arm_styles(arms_in_order(rows[rows["reference"] == ""]["arm"]))
    entries = [
        *(Line2D([], [], label=arm, **marked(look)) for arm, look in looks.items()),
        Line2D([], [], color=MUTED, linestyle=DASHED, label="its benign twin"),
    ]
    if not (
        rows[rows["reference"] == ""].groupby(["arm", "measure", field])["status"].agg(lambda s: "ok" in set(s))
    ).all():
        entries.append(Line2D([], [], **hollow(), label="no run is ok"))
    panels = small_multiples(len(measures), each=1.4, height=1.6, width=width, legend=entries, ax=ax, sharey=False)
    for axes, measure in zip(panels.axes, measures, strict=True):
        _draw(axes, rows[rows["measure"] == measure], field, values, looks, measure)
        axes.set_title(capital(in_words(measure, labels)))
        axes.set_xlim(-0.5, len(values) - 0.5)
        axes.set_xticks(range(len(values)), values)
        if ranges and measure in ranges:
            low, high = ranges[measure]
            axes.set_ylim(low - 0.04 * (high - low), high + 0.04 * (high - low))
        axes.locator_params(axis="y", nbins=5)
    panels.name(x=f"{field.replace('_', ' ')} (values at equal distances)")
    return panels.finished()


def _draw(
    axes: Axes,
    rows: pd.DataFrame,
    field: str,
    values: list[str],
    looks: dict[str, ArmStyle],
    measure: str,
) -> None:
    axes.axhline(0, color=FAINT, linewidth=0.7, zorder=0)
    for place, (arm, look) in enumerate(looks.items()):
        x = np.arange(len(values)) + 0.4 * ((place + 0.5) / len(looks) - 0.5)
        own = rows[(rows["arm"] == arm) & (rows["reference"] == "")]
        (finite, ok), benign = split(own), split(rows[(rows["arm"] == arm) & (rows["reference"] == "benign")])[1]
        benign = benign.merge(ok[["run", field]], on=["run", field])  # of the same runs as the mean
        over = ok.groupby(field)["value"].agg(["mean", "min", "max"]).reindex(values)
        rest = finite.groupby(field)["value"].mean().reindex(values).where(over["mean"].isna())
        below = benign.groupby(field)["value"].mean().reindex(values)
        axes.plot(
            x, below, color=look.color, linestyle=DASHED, linewidth=line_width(0.7), gid=f"benign/{arm}/{measure}"
        )
        axes.vlines(x, over["min"], over["max"], color=look.color, linewidth=line_width(0.7))
        axes.plot(
            x,
            over["mean"],
            color=look.color,
            marker=look.marker,
            markersize=mark_size(),
            gid=f"{arm}/{measure}",
            zorder=3,
        )
        axes.plot(x, rest, **hollow() | {"marker": look.marker}, gid=f"not-ok/{arm}/{measure}")
