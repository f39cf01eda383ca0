"""Learner × poison: how far each combination intertwines the two tasks, between the two ends of a reading."""

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.lines import Line2D

from .canvas import small_multiples
from .frames import arms_in_order, checked, one_reading_each, t_interval
from .style import MUTED, NOTE, REFERENCE_MARKERS, SMALL, arm_styles, capital, in_words, line_width, mark_size

__all__ = ["two_factors"]

POISONS = ("dirty", "clean")
ENDS = ("apart", "together")
_DODGE = 0.4
"""Width over which the learners of one poison are spread, in units of the distance between poisons."""


def two_factors(
    rows: pd.DataFrame,
    *,
    measures: Sequence[str],
    labels: Mapping[str, str] | None = None,
    width: float | None = None,
    ax: Axes | None = None,
) -> Figure:
    """One panel a reading, and a block of panels for each data set; poison along x, a line for each learner.

    Large markers are means over seeds with Student's 95 % intervals; small dots are seeds. Grey marks are the means of
    both ends of the reading in the same encoders. Lines that are not parallel hint at an interaction.

    Args:
        rows: the table of results, one reading for each run, measure and data set, with references ``apart`` and
            ``together``. Arms are LEARNER-POISON; others than dirty and clean are left out. Readings that are not ok
            are left out. A column ``data`` names the data set, if there are several.
        measures: the readings, in this order.
        labels: measure → title.
        ax: draw a single reading of one data set here.
    """
    rows = rows if "data" in rows else rows.assign(data="")
    rows = checked(
        rows, "rows", texts=("data", "run", "arm", "measure", "reference", "status"), numbers=("seed", "value")
    )
    rows = rows[rows["measure"].isin(measures) & np.isfinite(rows["value"]) & (rows["status"] == "ok")]
    rows[["learner", "poison"]] = rows["arm"].str.partition("-")[[0, 2]]
    rows = rows[rows["poison"].isin(POISONS)]
    if rows.empty:
        raise ValueError(f"rows: expected readings of dirty or clean arms that are ok, received none of {measures}")
    rows = one_reading_each(rows, keys=("data", "run", "measure"))
    colours = _colours(rows)
    sets = list(dict.fromkeys(rows["data"]))
    panels = small_multiples(
        len(sets) * len(measures), each=1.05, height=1.5, width=width, most=len(measures), ax=ax, sharey=False,
        legend=_entries(rows, colours),
    )  # fmt: skip
    cells = [(data, measure) for data in sets for measure in measures]
    for axes, (data, measure) in zip(panels.axes, cells, strict=True):
        _panel(axes, rows[(rows["data"] == data) & (rows["measure"] == measure)], colours)
        axes.set_title(capital(in_words(measure, labels)), fontsize=SMALL)
        axes.set_ylabel(data if measure == measures[0] else "")
    return panels.finished()


def _colours(rows: pd.DataFrame) -> dict[str, str]:
    """Learner → the colour of its clean arm, or of its dirty one if it has no other."""
    looks = arm_styles(arms_in_order(rows["arm"]))
    order = dict.fromkeys(arm.partition("-")[0] for arm in looks)
    return {learner: (looks.get(f"{learner}-clean") or looks[f"{learner}-dirty"]).color for learner in order}


def _panel(axes: Axes, rows: pd.DataFrame, colours: Mapping[str, str]) -> None:
    import seaborn as sns  # it imports pyplot, which other figures do without

    own = rows[rows["reference"] == ""]
    axes.axhline(0, color=MUTED, linewidth=0.5, zorder=0)
    if own.empty:
        axes.text(0.5, 0.5, "no reading", transform=axes.transAxes, ha="center", color=NOTE)
    else:
        shared: dict[str, Any] = {
            "x": "poison",
            "y": "value",
            "hue": "learner",
            "order": POISONS,
            "hue_order": list(colours),
        }
        shared |= {"palette": dict(colours), "legend": False, "ax": axes}
        dodge = _DODGE if len(colours) > 1 else False  # seaborn divides by the learners less one
        sns.pointplot(own, dodge=dodge, errorbar=t_interval, markersize=mark_size(), linewidth=line_width(), **shared)
        for place, learner in zip(_places(len(colours)), colours, strict=True):
            for x, poison in enumerate(POISONS):
                of = own[(own["learner"] == learner) & (own["poison"] == poison)]["value"]
                axes.plot(
                    np.full(len(of), x + place), of, ".", color=colours[learner], markersize=mark_size(0.6), alpha=0.6
                )
    for place, learner in zip(_places(len(colours)), colours, strict=True):
        for end in ENDS:
            means = rows[(rows["reference"] == end) & (rows["learner"] == learner)].groupby("poison")["value"].mean()
            xs = [POISONS.index(poison) + place for poison in means.index]
            axes.plot(
                xs,
                means,
                REFERENCE_MARKERS[end],
                color=MUTED,
                markersize=mark_size(1.2),
                zorder=1,
                gid=f"{end}/{learner}",
            )
    axes.set_xlim(-0.5, len(POISONS) - 0.5)
    axes.set(xlabel="", ylabel="")


def _places(learners: int) -> np.ndarray:
    """Offsets from a poison's place, as seaborn dodges."""
    return np.linspace(0, _DODGE, learners) - _DODGE / 2 if learners > 1 else np.zeros(1)


def _entries(rows: pd.DataFrame, colours: Mapping[str, str]) -> list[Line2D]:
    found = [Line2D([], [], color=colour, marker="o", label=learner) for learner, colour in colours.items()]
    present = [end for end in ENDS if (rows["reference"] == end).any()]
    return found + [
        Line2D([], [], linestyle="", color=MUTED, marker=REFERENCE_MARKERS[end], label=f"end: {end}") for end in present
    ]
