"""Interference by layer: do the benign task and the backdoor ask the same of the weights?"""

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.lines import Line2D

from .canvas import small_multiples
from .frames import (
    arms_in_order,
    checked_rows,
    one_reading_each,
    split,
    status_note,
    without_references_of_others,
)
from .style import (
    MUTED,
    NOTE,
    ArmStyle,
    arm_styles,
    default_width,
    hollow,
    in_words,
    line_width,
    mark_size,
    scale,
)

__all__ = ["alignment"]

_MEASURE = "interference"
_DASHES: dict[str, Any] = {"": "-", "benign": (0, (3, 1.5)), "random-trigger": (0, (1, 1.2))}
_OTHER = (0, (4, 1.5, 1, 1.5))
_NO_VALUE: dict[str, Any] = {"marker": "x", "markersize": 3, "color": NOTE, "linestyle": "none"}


def alignment(
    rows: pd.DataFrame,
    *,
    layers: Sequence[str],
    labels: Mapping[str, str] | None = None,
    width: float | None = None,
    ax: Axes | None = None,
) -> Figure:
    """Interference against ``layers``: one panel an arm, with its benign twin (dashed) and its other references.

    Lines join readings that are ok. A point with another status is hollow; one without a value is a cross at the
    bottom. With several runs each run is a dot, and the large point is the mean of those that are ok, without interval.
    References are means over the same runs. The axis lies within [−1, 1]: a corrected cosine beyond it, or an
    interval's end, is an arrow at the edge.

    Args:
        rows: the table of results, one epoch and one subset. Rows of other measures and layers are ignored.
        labels: words for references and layers.
        ax: draw a single arm here.
    """
    rows = chosen(rows, layers)
    looks = arm_styles(arms_in_order(rows["arm"]))
    present = set(rows["reference"]) - {""}
    references = [name for name in dict.fromkeys(["benign", "random-trigger", *rows["reference"]]) if name in present]
    legend = _legend(rows, references, labels)
    panels = small_multiples(len(looks), each=1.45, height=1.6, width=width, legend=legend, ax=ax)
    room = (default_width() if width is None else width) / panels.columns - 0.5
    for axes, (arm, look) in zip(panels.axes, looks.items(), strict=True):
        axes.set(xlim=(-0.5, len(layers) - 0.5), ylim=limits(rows))
        draw_arm(axes, rows[rows["arm"] == arm], arm, look, ["", *references], layers, labels)
        axes.set_title(arm)
        name_layers(axes, layers, labels, room)
    panels.name(y=in_words(_MEASURE, labels))
    return panels.finished()


def name_layers(axes: Axes, layers: Sequence[str], labels: Mapping[str, str] | None, room: float) -> None:
    """Ticks for the layers, slanted if their names are longer than ``room`` inches."""
    names = [(labels or {}).get(layer, layer) for layer in layers]
    axes.set_xticks(range(len(layers)), names)
    if sum(map(len, names)) * 0.075 * scale() > room:
        axes.set_xticks(range(len(layers)), names, rotation=40, ha="right", rotation_mode="anchor")
    axes.locator_params(axis="y", nbins=6)


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
    *,
    shift: float = 0.0,
) -> None:
    """Reading and references of an arm at each layer, ``shift`` layers beside it."""
    axes.axhline(0, color=MUTED, linewidth=0.5, zorder=0)
    for number, reference in enumerate(kinds):
        own = rows[rows["reference"] == reference]
        if own.empty and reference:  # a benign arm has no benign twin of its own
            continue
        color = look.color if reference in ("", "benign") else "#555555"
        places = np.arange(len(layers)) + (number - (len(kinds) - 1) / 2) * 0.17 + shift  # so that intervals stay apart
        heights = [
            _draw_point(axes, own[own["layer"] == layer], x, color, f"{reference or 'reading'}/{arm}/{layer}", look)
            for x, layer in zip(places, layers, strict=True)
        ]
        axes.plot(places, heights, color=color, linestyle=_DASHES.get(reference, _OTHER))
        for x, layer in zip(places, layers, strict=True):
            _cross(axes, rows[rows["layer"] == layer], x, reference)


def _cross(axes: Axes, rows: pd.DataFrame, x: float, reference: str) -> None:
    """A cross at the bottom where a series has no value at a layer; references need not be at every layer."""
    own = rows[rows["reference"] == reference]
    if not np.isfinite(own["value"]).all() or (not reference and own.empty):
        axes.plot([x], [0.03], **_NO_VALUE, transform=axes.get_xaxis_transform(), gid=f"no-value/{reference}")


def _draw_point(axes: Axes, rows: pd.DataFrame, x: float, color: str, gid: str, look: ArmStyle) -> float:
    """One series at one layer; returns the height to join, NaN where it is not ok."""
    finite, ok = split(rows)
    if finite.empty:
        return np.nan
    reading = gid.startswith("reading/")
    ink, face = (color, color) if len(ok) else (MUTED, "white")
    centre = float((ok if len(ok) else finite)["value"].mean())
    if len(rows) == 1:
        ends = finite[["ci_low", "ci_high"]].iloc[0]
        axes.plot([x, x], ends, color=ink, linewidth=line_width(0.7), gid=f"interval/{gid}")
        _arrows(axes, x, ends, ink)
    elif reading:
        axes.plot([x] * len(ok), ok["value"], "o", markersize=mark_size(0.45), color=ink, alpha=0.7, gid=f"run/{gid}")
        bad = finite[finite["status"] != "ok"]
        axes.plot([x] * len(bad), bad["value"], **hollow(0.6), gid=f"run/{gid}")
    dot: dict[str, Any] = {"marker": look.marker if reading else "o", "markersize": mark_size(1.1 if reading else 0.6)}
    axes.plot([x], [centre], **dot, color=ink, markerfacecolor=face, zorder=3, gid=gid)
    _arrows(axes, x, [centre], ink)
    return centre if len(ok) else np.nan


def _arrows(axes: Axes, x: float, values: Iterable[float], color: str) -> None:
    """An arrow at the edge for each value that lies beyond it."""
    low, high = sorted(axes.get_ylim())
    for edge, marker, beyond in ((low, "v", min(values) < low), (high, "^", max(values) > high)):
        if beyond:
            axes.plot([x], [edge], marker=marker, color=color, markersize=mark_size(0.6), clip_on=False, gid="beyond")


def limits(rows: pd.DataFrame) -> tuple[float, float]:
    """Of the axis: all values and the intervals of ok rows, within [−1, 1], and a quarter on either side of 0."""
    ok = rows[rows["status"] == "ok"]
    ends = np.concatenate([rows["value"], ok["ci_low"], ok["ci_high"], [-0.25, 0.25]])
    ends = np.clip(ends[np.isfinite(ends)], -1, 1)
    margin = 0.05 * (ends.max() - ends.min())
    return float(ends.min() - margin), float(ends.max() + margin)


def _legend(rows: pd.DataFrame, references: Sequence[str], labels: Mapping[str, str] | None) -> list[Line2D]:
    several = rows[rows["reference"] == ""].duplicated(["arm", "layer"]).any()
    entries = [
        Line2D(
            [], [], color=NOTE, marker="o", markersize=mark_size(1.1), label="mean of runs" if several else "reading"
        )
    ]
    for reference in references:
        dashes = _DASHES.get(reference, _OTHER)
        name = in_words(reference, labels)
        entries.append(Line2D([], [], color=NOTE, linestyle=dashes, marker="o", markersize=mark_size(0.6), label=name))
    valued, bad = np.isfinite(rows["value"]), rows["status"] != "ok"
    for some, look, before in ((valued & bad, hollow(1.1), ""), (~valued, _NO_VALUE, "no value: ")):
        if some.any():
            entries.append(Line2D([], [], **look, label=before + status_note(rows.loc[some, "status"], count=False)))
    return entries
