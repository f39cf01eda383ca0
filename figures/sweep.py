"""Readings against the field that a grid of studies varies: poison fraction, strength of the trigger or target."""

from collections.abc import Mapping, Sequence

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.lines import Line2D

from .canvas import empty_figure, panel_grid, settled
from .frames import ROW_NUMBERS, ROW_TEXTS, arms_in_order, checked, split
from .style import FAINT, MUTED, TWO_COLUMN, ArmStyle, arm_styles, hollow, in_words, marked, style

__all__ = ["sweep"]

DASHED = (0, (3, 1.5))


def sweep(
    rows: pd.DataFrame,
    *,
    field: str,
    measures: Sequence[str],
    labels: Mapping[str, str] | None = None,
    width: float = TWO_COLUMN,
) -> Figure:
    """One panel a measure: the mean over runs of each arm at each value of ``field``.

    Bars span the lowest to the highest; dashed: the benign twins of the same runs. Values keep the order of the rows,
    at equal distances. If no run is ok, the point is hollow and grey: the mean of those that have a value.

    ``rows``: the table of results with ``field`` as another column, filtered to one epoch, layer and subset for each
    measure. ``labels``: measure → title.
    """
    rows = checked(rows, "rows", texts=(*ROW_TEXTS, field), numbers=ROW_NUMBERS)
    absent = [measure for measure in measures if measure not in set(rows["measure"])]
    if absent:
        raise ValueError(f"measures: expected names among those in rows, received {', '.join(absent)}")
    values = list(dict.fromkeys(rows[field]))
    looks = arm_styles(arms_in_order(rows[rows["reference"] == ""]["arm"]))
    n_rows, n_columns = panel_grid(len(measures), width, each=1.5, most=4)
    legend_columns = max(2, int(width / 1.3))
    entries = [
        *(Line2D([], [], label=arm, **marked(look, 3.5)) for arm, look in looks.items()),
        Line2D([], [], color=MUTED, linestyle=DASHED, label="its benign twin"),
    ]
    if not (
        rows[rows["reference"] == ""].groupby(["arm", "measure", field])["status"].agg(lambda s: "ok" in set(s))
    ).all():
        entries.append(Line2D([], [], **hollow(3.5), label="no run is ok"))
    with style():
        figure = empty_figure(width, n_rows * 1.8 + 0.15 * -(-len(entries) // legend_columns) + 0.2)
        grid = figure.subplots(n_rows, n_columns, squeeze=False, sharex=True)
        for position, (axes, measure) in enumerate(zip(grid.flat, measures, strict=False)):
            _draw(axes, rows[rows["measure"] == measure], field, values, looks, measure, in_words(measure, labels))
            if position + n_columns >= len(measures):
                axes.tick_params(labelbottom=True)
                axes.set_xlabel(field.replace("_", " "))
        for spare in grid.flat[len(measures) :]:
            spare.remove()
        grid[0, 0].set_xlim(-0.5, len(values) - 0.5)
        grid[0, 0].set_xticks(range(len(values)), values)
        figure.legend(handles=entries, loc="outside lower center", ncols=legend_columns)
        return settled(figure)


def _draw(
    axes: Axes,
    rows: pd.DataFrame,
    field: str,
    values: list[str],
    looks: dict[str, ArmStyle],
    measure: str,
    title: str,
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
        axes.plot(x, below, color=look.color, linestyle=DASHED, linewidth=0.8, gid=f"benign/{arm}/{measure}")
        axes.vlines(x, over["min"], over["max"], color=look.color, linewidth=0.8)
        axes.plot(
            x, over["mean"], color=look.color, marker=look.marker, markersize=3.5, gid=f"{arm}/{measure}", zorder=3
        )
        axes.plot(x, rest, **hollow(3.5) | {"marker": look.marker}, gid=f"not-ok/{arm}/{measure}")
    axes.set_title(title, loc="left")
    axes.locator_params(axis="y", nbins=5)
