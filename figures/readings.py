"""Readings beside their references: one small panel a measure, one line an arm."""

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.lines import Line2D

from .canvas import empty_figure, panel_grid, settled
from .frames import (
    arms_in_order,
    checked_rows,
    one_reading_each,
    split,
    status_note,
    without_references_of_others,
)
from .style import (
    FAINT,
    MUTED,
    NOTE,
    TWO_COLUMN,
    ArmStyle,
    arm_styles,
    hollow,
    in_words,
    reference_markers,
    style,
)

__all__ = ["readings"]

# Three lanes within an arm's line of height 1: the status, the reading, its references.
_NOTE, _READING, _REFERENCE = -0.31, -0.02, 0.29
_LINE_INCHES = 0.37
_NOTE_LOOK: dict[str, Any] = {"va": "center", "fontsize": 5.5, "color": NOTE}


def readings(
    rows: pd.DataFrame,
    *,
    measures: Sequence[str],
    labels: Mapping[str, str] | None = None,
    width: float = TWO_COLUMN,
) -> Figure:
    """Dots with intervals: for every measure the reading of each arm, and below it, small, its references.

    ``rows``: the table of results, filtered to one layer, subset and epoch for each measure. Two readings of a run and
    measure are an error. A reference row has the arm of the reading that it belongs to. ``labels``: words for measures,
    references, subsets and layers.

    With several runs of an arm each is a small dot, and their mean the large marker, without interval. References are
    means over the same runs. A reading whose status is not "ok" is hollow and grey, with its status above it. It is not
    in the mean if others are ok, and its interval may run out of the panel. A reference that is not ok is pale; one
    without a value is not drawn.
    """
    rows, looks, markers = _prepared(rows, measures)
    entries = _legend(rows, markers, labels)
    n_rows, n_columns = panel_grid(len(measures), max(width - 1, 1), each=1.7, most=4)
    legend_columns = max(2, int(width / 1.15))
    height = n_rows * (len(looks) * _LINE_INCHES + 0.62) + 0.15 * -(-len(entries) // legend_columns) + 0.1
    with style():
        figure = empty_figure(width, height)
        grid = figure.subplots(n_rows, n_columns, squeeze=False, sharey=True)
        for axes, measure in zip(grid.flat, measures, strict=False):
            _draw_measure(axes, rows[rows["measure"] == measure], measure, looks, markers, labels)
        for spare in grid.flat[len(measures) :]:
            spare.remove()
        _name_arms(grid[0, 0], looks)
        figure.legend(handles=entries, loc="outside lower center", ncols=legend_columns)
        return settled(figure)


def _prepared(rows: pd.DataFrame, measures: Sequence[str]) -> tuple[pd.DataFrame, dict[str, ArmStyle], dict[str, str]]:
    """The rows of the measures, checked; the look of each arm, in order; the marker of each reference."""
    if isinstance(measures, str) or not len(measures):
        raise ValueError(f"measures: expected a sequence of at least one name, received {measures!r}")
    rows = checked_rows(rows)
    absent = [measure for measure in measures if measure not in set(rows["measure"])]
    if absent:
        raise ValueError(
            f"measures: expected names among those in rows ({', '.join(rows['measure'].unique())}), "
            f"received {', '.join(absent)}"
        )
    rows = one_reading_each(rows[rows["measure"].isin(measures)], keys=("run", "measure"))
    rows = without_references_of_others(rows, "measure")
    looks = arm_styles(arms_in_order(rows["arm"]))
    return rows, looks, reference_markers(rows.loc[rows["reference"] != "", "reference"])


def _name_arms(axes: Axes, looks: dict[str, ArmStyle]) -> None:
    """A line for each arm, from the top, under its name."""
    axes.set_yticks(range(len(looks)), list(looks))
    axes.set_ylim(len(looks) - 0.5, -0.5)


def _draw_measure(
    axes: Axes,
    rows: pd.DataFrame,
    measure: str,
    looks: dict[str, ArmStyle],
    markers: dict[str, str],
    labels: Mapping[str, str] | None = None,
) -> None:
    """One panel: the readings of one measure."""
    axes.set_xlim(*_limits(rows))
    for line, (arm, look) in enumerate(looks.items()):
        own = rows[rows["arm"] == arm]
        _draw_reading(axes, own[own["reference"] == ""], line, arm, look)
        _draw_references(axes, own, line, arm, markers)
        axes.axhline(line + 0.5, color=FAINT, linewidth=0.5, zorder=0)
    axes.set_title(in_words(measure, labels), loc="left")
    layers = ", ".join((labels or {}).get(layer, layer) for layer in rows["layer"].unique() if layer)
    subsets = ", ".join(in_words(subset, labels) for subset in rows["subset"].unique() if subset)
    axes.set_xlabel(" · ".join(place for place in (layers, subsets) if place), fontsize=6, color=NOTE)
    axes.tick_params(axis="y", length=0)
    axes.spines["left"].set_visible(False)
    axes.locator_params(axis="x", nbins=4)


def _draw_reading(axes: Axes, rows: pd.DataFrame, line: int, arm: str, look: ArmStyle) -> None:
    y = line + _READING
    finite, ok = split(rows)
    color, face = (look.color, look.color) if len(ok) else (MUTED, "white")
    if len(rows) == 1 and len(finite):
        axes.plot(finite[["ci_low", "ci_high"]].iloc[0], [y, y], color=color, linewidth=1.2, gid=f"interval/{arm}")
    elif len(finite):
        bad = finite[finite["status"] != "ok"]
        one: dict[str, Any] = {"markersize": 2.2, "markeredgewidth": 0.6, "alpha": 0.8, "gid": f"run/{arm}"}
        axes.plot(ok["value"], np.full(len(ok), y), "o", color=look.color, **one)
        axes.plot(bad["value"], np.full(len(bad), y), **{**hollow(2.2), **one})
    note = status_note(rows["status"])
    if not len(finite):
        _write(axes, note, y)
        return
    centre = (ok if len(ok) else finite)["value"].mean()
    large: dict[str, Any] = {"marker": look.marker, "markersize": 5, "color": color, "markerfacecolor": face}
    axes.plot([centre], [y], **large, zorder=3, gid=f"reading/{arm}")
    _write(axes, note, line + _NOTE, above=centre)


def _draw_references(axes: Axes, rows: pd.DataFrame, line: int, arm: str, markers: dict[str, str]) -> None:
    for reference, marker in markers.items():
        finite, ok = split(rows[rows["reference"] == reference])
        if len(finite):
            mean = (ok if len(ok) else finite)["value"].mean()
            axes.plot([mean], [line + _REFERENCE], **_reference(marker, ok=len(ok) > 0), gid=f"{reference}/{arm}")


def _write(axes: Axes, note: str, y: float, *, above: float | None = None) -> None:
    """A small note at the left edge, or over the point ``above``, leaning inwards where that is near an edge."""
    low, high = axes.get_xlim()
    x = low if above is None else above
    share = (x - low) / (high - low)
    axes.text(x, y, note, ha="left" if share < 0.3 else "right" if share > 0.7 else "center", **_NOTE_LOOK)


def _limits(rows: pd.DataFrame) -> tuple[float, float]:
    ok = rows[(rows["status"] == "ok") & (rows["reference"] == "")]
    ends = np.concatenate([rows["value"], ok["ci_low"], ok["ci_high"]])
    ends = ends[np.isfinite(ends)]
    if not len(ends):
        return 0.0, 1.0
    low, high = float(ends.min()), float(ends.max())
    margin = 0.07 * (high - low) or max(0.1 * abs(low), 0.05)
    return low - margin, high + margin


def _reference(marker: str, *, ok: bool) -> dict[str, Any]:
    color = "#333333" if ok else "#B5B5B5"
    size = 7 if marker == "|" else 4.5  # the benign twin matters most, and must show through the others
    edge = {"markerfacecolor": "white", "markeredgecolor": color, "markeredgewidth": 0.8}
    return {"marker": marker, "markersize": size, "linestyle": "none", **edge}


def _legend(rows: pd.DataFrame, markers: dict[str, str], labels: Mapping[str, str] | None = None) -> list[Line2D]:
    """What the marks of the panels mean."""
    own = rows[rows["reference"] == ""]
    several = own.duplicated(["arm", "measure"]).any()
    entries = [Line2D([], [], color=MUTED, marker="o", mfc=MUTED, markersize=5, label="reading, interval")]
    if several:
        entries = [
            Line2D([], [], color=MUTED, marker="o", markersize=5, linestyle="none", label="mean of runs"),
            Line2D([], [], color=MUTED, marker="o", markersize=2.2, linestyle="none", label="one run"),
        ]
    if (own["status"] != "ok").any():
        entries.append(Line2D([], [], **hollow(5), label="status not ok"))
    return entries + [
        Line2D([], [], **_reference(marker, ok=True), label=in_words(name, labels)) for name, marker in markers.items()
    ]
