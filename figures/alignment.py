"""Interference by layer: do the benign task and the backdoor ask the same of the weights?"""

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
from .style import FAINT, MUTED, NOTE, TWO_COLUMN, ArmStyle, arm_styles, hollow, in_words, style

__all__ = ["alignment"]

_MEASURE = "interference"
_DASHES: dict[str, Any] = {"": "-", "benign": (0, (3, 1.5)), "random-trigger": (0, (1, 1.2))}
_OTHER = (0, (4, 1.5, 1, 1.5))


def alignment(
    rows: pd.DataFrame,
    *,
    layers: Sequence[str],
    labels: Mapping[str, str] | None = None,
    width: float = TWO_COLUMN,
) -> Figure:
    """Interference against ``layers``: one panel an arm, with its benign twin (dashed) and its other references.

    ``rows``: the table of results, one epoch and one subset. Rows of other measures and layers are ignored. ``labels``:
    words for references and layers.

    Lines join readings that are ok. A point with another status is hollow; one without a value becomes a word. With
    several runs each run is a dot, and the large point is the mean of those that are ok, without interval. References
    are means over the same runs. The axis spans [-1, 1], and more where a value or the interval of an ok row needs it:
    corrected cosines may leave that range. Other intervals may run out of the panel.
    """
    rows = chosen(rows, layers)
    looks = arm_styles(arms_in_order(rows["arm"]))
    present = set(rows["reference"]) - {""}
    references = [name for name in dict.fromkeys(["benign", "random-trigger", *rows["reference"]]) if name in present]
    n_rows, n_columns = panel_grid(len(looks), width - 0.3, each=1.5, most=4)
    entries = _legend(rows, references, labels)
    legend_columns = max(2, int(width / 1.3))
    with style():
        figure = empty_figure(width, n_rows * 1.7 + 0.15 * -(-len(entries) // legend_columns) + 0.2)
        grid = figure.subplots(n_rows, n_columns, squeeze=False, sharex=True, sharey=True)
        grid[0, 0].set(xlim=(-0.5, len(layers) - 0.5), ylim=limits(rows))
        grid[0, 0].locator_params(axis="y", nbins=6)
        grid[0, 0].set_xticks(range(len(layers)), [(labels or {}).get(layer, layer) for layer in layers])
        for position, (axes, arm) in enumerate(zip(grid.flat, looks, strict=False)):
            draw_arm(axes, rows[rows["arm"] == arm], arm, looks[arm], ["", *references], layers, labels)
            if position + n_columns >= len(looks):  # nothing below it
                axes.tick_params(labelbottom=True)
        for spare in grid.flat[len(looks) :]:
            spare.remove()
        if sum(map(len, layers)) * 0.07 > width / n_columns - 0.5:  # inches of text against inches of axis
            for axes in figure.axes:
                axes.tick_params(axis="x", labelrotation=40)
        for axes in grid[:, 0]:
            axes.set_ylabel("interference")
        figure.legend(handles=entries, loc="outside lower center", ncols=legend_columns)
        return settled(figure)


def chosen(rows: pd.DataFrame, layers: Sequence[str]) -> pd.DataFrame:
    """The rows of interference at the layers, checked."""
    if isinstance(layers, str) or not len(layers):
        raise ValueError(f"layers: expected a sequence of at least one name, received {layers!r}")
    rows = checked_rows(rows)
    rows = rows[rows["measure"] == _MEASURE]
    if rows.empty:
        raise ValueError(f"rows: expected rows of the measure {_MEASURE}, received none")
    known = list(rows["layer"].unique())
    absent = [layer for layer in layers if layer not in known]
    if absent:
        raise ValueError(
            f"layers: expected names among those in rows, {', '.join(known)}; received {', '.join(absent)}"
        )
    rows = one_reading_each(rows[rows["layer"].isin(layers)], keys=("run", "layer"))
    return without_references_of_others(rows, "layer")


def draw_arm(
    axes: Axes,
    rows: pd.DataFrame,
    arm: str,
    look: ArmStyle,
    kinds: Sequence[str],
    layers: Sequence[str],
    labels: Mapping[str, str] | None = None,
) -> None:
    """One panel: reading and references of an arm at each layer."""
    for height, color in ((-1, FAINT), (0, MUTED), (1, FAINT)):
        axes.axhline(height, color=color, linewidth=0.5, zorder=0)
    for number, reference in enumerate(kinds):
        own = rows[rows["reference"] == reference]
        if own.empty and reference:  # a benign arm has no benign twin of its own
            continue
        color = look.color if reference in ("", "benign") else "#555555"
        places = np.arange(len(layers)) + (number - (len(kinds) - 1) / 2) * 0.17  # so that intervals stay apart
        heights = [
            _draw_point(axes, own[own["layer"] == layer], x, color, f"{reference or 'reading'}/{arm}/{layer}", look)
            for x, layer in zip(places, layers, strict=True)
        ]
        axes.plot(places, heights, color=color, linestyle=_DASHES.get(reference, _OTHER))
        for x, layer in zip(places, layers, strict=True):
            _write(axes, rows[rows["layer"] == layer], x, reference, in_words(reference, labels))
    axes.set_title(arm, loc="left")


def _write(axes: Axes, rows: pd.DataFrame, x: float, reference: str, name: str) -> None:
    """Where a series has no value at a layer, write the reason at the end of the axis with more room."""
    own = rows[rows["reference"] == reference]
    if np.isfinite(own["value"]).all() and (reference or len(own)):  # references need not be at every layer
        return
    low, high = axes.get_ylim()
    at_top = high - rows["value"].max() > rows["value"].min() - low
    note = f"{name} {status_note(own['status'])}".strip()
    where: dict[str, Any] = {"x": x, "y": 0.98 if at_top else 0.02, "va": "top" if at_top else "bottom", "ha": "center"}
    axes.text(s=note, **where, transform=axes.get_xaxis_transform(), rotation=90, fontsize=5.5, color=NOTE)


def _draw_point(axes: Axes, rows: pd.DataFrame, x: float, color: str, gid: str, look: ArmStyle) -> float:
    """One series at one layer; returns the height to join, NaN where it is not ok."""
    finite, ok = split(rows)
    if finite.empty:
        return np.nan
    reading = gid.startswith("reading/")
    ink, face = (color, color) if len(ok) else (MUTED, "white")
    centre = float((ok if len(ok) else finite)["value"].mean())
    if len(rows) == 1:
        axes.plot([x, x], finite[["ci_low", "ci_high"]].iloc[0], color=ink, linewidth=0.8, gid=f"interval/{gid}")
    elif reading:
        axes.plot([x] * len(ok), ok["value"], "o", markersize=1.6, color=ink, alpha=0.7, gid=f"run/{gid}")
        bad = finite[finite["status"] != "ok"]
        axes.plot([x] * len(bad), bad["value"], **hollow(2.0), gid=f"run/{gid}")
    dot: dict[str, Any] = {"marker": look.marker if reading else "o", "markersize": 4.0 if reading else 2.2}
    axes.plot([x], [centre], **dot, color=ink, markerfacecolor=face, zorder=3, gid=gid)
    return centre if len(ok) else np.nan


def limits(rows: pd.DataFrame) -> tuple[float, float]:
    """Of the axis: [−1, 1], and more where a value needs it."""
    ok = rows[rows["status"] == "ok"]
    ends = np.concatenate([rows["value"], ok["ci_low"], ok["ci_high"], [-1.0, 1.0]])
    ends = ends[np.isfinite(ends)]
    margin = 0.05 * (ends.max() - ends.min())
    return float(ends.min() - margin), float(ends.max() + margin)


def _legend(rows: pd.DataFrame, references: Sequence[str], labels: Mapping[str, str] | None) -> list[Line2D]:
    several = rows[rows["reference"] == ""].duplicated(["arm", "layer"]).any()
    entries = [Line2D([], [], color=NOTE, marker="o", markersize=4, label="mean of runs" if several else "reading")]
    for reference in references:
        dashes = _DASHES.get(reference, _OTHER)
        name = in_words(reference, labels)
        entries.append(Line2D([], [], color=NOTE, linestyle=dashes, marker="o", markersize=2.2, label=name))
    bad = rows.loc[rows["status"] != "ok", "status"].unique()
    if len(bad):
        entries.append(Line2D([], [], **hollow(4.0), label=", ".join(name.replace("_", " ") for name in bad)))
    return entries
