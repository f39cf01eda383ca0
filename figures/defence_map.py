"""Every defence on every arm: the ASR that is left with the ACC that it costs, and the AUROC of detectors."""

from collections.abc import Mapping, Sequence

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.gridspec import SubplotSpec

from .canvas import empty_figure, settled
from .frames import arms_in_order, checked, seeds_note
from .heat import heat
from .style import default_width, number, scale

__all__ = ["defence_map"]

_LEFT, _LOST, _AREA = "asr", "acc_lost", "auroc"
_LINE = 0.155  # inches a defence
_ROOM = 0.62  # inches that a cell needs for two numbers


def defence_map(
    outcomes: pd.DataFrame,
    *,
    untreated: str = "none",
    labels: Mapping[str, str] | None = None,
    width: float | None = None,
) -> Figure:
    """Mitigations by the ASR that is left, least on top, with the ACC lost in brackets; detectors by their AUROC.

    Means over seeds. The colour is the first number. The untreated encoders are the first line, set apart. In narrow
    cells the ACC lost is left out. Dark orange: the attack is still there. Blue: the detector finds poisons; red: it is
    misled.

    Args:
        outcomes: columns defence, arm, measure, seed, value. Measures are ``asr`` and ``acc_lost`` of mitigations, and
            ``auroc`` of detectors. A cell without a value is a cross.
        untreated: the name of no treatment.
        labels: words for defences.
    """
    outcomes = checked(outcomes, "outcomes", texts=("defence", "arm", "measure"), numbers=("seed", "value"))
    if unknown := sorted(set(outcomes["measure"]) - {_LEFT, _LOST, _AREA}):
        raise ValueError(f"outcomes: expected measures of {_LEFT}, {_LOST}, {_AREA}, received {', '.join(unknown)}")
    arms = arms_in_order(outcomes["arm"])
    left, lost, area = (_table(outcomes, measure, arms) for measure in (_LEFT, _LOST, _AREA))
    left = left.loc[sorted(left.index, key=lambda name: (name != untreated, left.loc[name].mean()))]
    area = area.loc[sorted(area.index, key=lambda name: -area.loc[name].mean())]
    seeds = outcomes.dropna(subset=["value"]).groupby(["measure", "defence", "arm"])["seed"].nunique()
    tables = {measure: table for measure, table in ((_LEFT, left), (_AREA, area)) if len(table)}
    width = default_width() if width is None else width
    beside = len(tables) > 1 and width >= 5 * scale()
    lines = [len(table) for table in tables.values()]
    figure = empty_figure(
        width, scale() * (_LINE * (max(lines) if beside else sum(lines)) + 0.95 * (1 if beside else len(tables)))
    )
    if beside:
        grid = figure.add_gridspec(1, len(lines))
        places = [_top(grid[0, i], n, max(lines)) for i, n in enumerate(lines)]
    else:
        grid = figure.add_gridspec(len(lines), 1, height_ratios=lines)
        places = [grid[i, 0] for i in range(len(lines))]
    panels = [figure.add_subplot(place) for place in places]
    cell = (width / (2 if beside else 1) - 1.2 * scale()) / len(arms)
    for axes, (measure, table) in zip(panels, tables.items(), strict=True):
        costs = lost.reindex(index=table.index) if measure == _LEFT and cell > _ROOM * scale() and len(lost) else None
        limits = (0.0, 1.0)
        text = table.map(lambda value: number(value) if np.isfinite(value) else "")
        if costs is not None:
            text += costs.map(lambda value: f" ({number(value)})" if np.isfinite(value) else "")
        cmap = "Oranges" if measure == _LEFT else "RdBu"
        heat(axes, table, text, cmap=cmap, limits=limits, gid=f"map/{measure}", labels=labels)
        _title(axes, measure, costs is not None, seeds_note(seeds.loc[[measure]]))
        if measure == _LEFT and untreated in table.index and len(table) > 1:
            axes.axhline(1, color="black", linewidth=0.8)
    return settled(figure)


def _top(spec: SubplotSpec, lines: int, most: int) -> SubplotSpec:
    """The upper part of a place, so that cells are as high as those of the longest table."""
    return spec if lines == most else spec.subgridspec(2, 1, height_ratios=[lines, most - lines])[0]


def _table(outcomes: pd.DataFrame, measure: str, arms: Sequence[str]) -> pd.DataFrame:
    """Means over seeds, a line a defence, a column an arm."""
    own = outcomes[outcomes["measure"] == measure]
    table = own.pivot_table(index="defence", columns="arm", values="value", sort=False, dropna=False)
    return table.reindex(index=list(dict.fromkeys(own["defence"])), columns=list(arms))


def _title(axes: Axes, measure: str, with_costs: bool, seeds: str) -> None:
    words = {_LEFT: "ASR left" + " (ACC lost)" * with_costs, _AREA: "AUROC of detectors"}
    axes.set_title(f"{words[measure]}, {seeds}")
