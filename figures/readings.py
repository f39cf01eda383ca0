"""Readings beside their ends and their benign twins: one small panel a measure, one line an arm."""

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import pandas as pd
from matplotlib.artist import Artist
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from matplotlib.patches import Patch

from .canvas import Panels, small_multiples
from .frames import (
    arms_in_order,
    checked_rows,
    one_reading_each,
    split,
    t_interval,
    without_references_of_others,
)
from .style import (
    FAINT,
    MUTED,
    NOTE,
    SMALL,
    ArmStyle,
    arm_styles,
    capital,
    default_width,
    hollow,
    in_words,
    line_width,
    mark_size,
    scale,
)

__all__ = ["readings"]

ENDS = ("apart", "together")
_LINE_INCHES = 0.23
_HALF = 0.36  # of a line's height, that the band between the ends takes on either side
_DASH = "–"


def readings(
    rows: pd.DataFrame,
    *,
    measures: Sequence[str],
    labels: Mapping[str, str] | None = None,
    width: float | None = None,
    ax: Axes | None = None,
) -> Figure:
    """Dots with intervals: for every measure the reading of each arm, on a band from one end of its scale to the other.

    The band spans the references ``apart`` and ``together``, and darkens towards *together*; a tick is the benign twin.
    Other references are not drawn. Of a measure that has one end, that end is a thin line.

    With several runs of an arm each is a small dot, and their mean the large marker, with Student's 95 % interval.
    References are means over the same runs. A reading whose status is not "ok" is hollow and grey. It is not in the
    mean if others are ok, and its interval may run out of the panel. A dash stands where there is no value; counts like
    3/5 say how many runs are in a mean, where it is not all.

    Args:
        rows: the table of results, filtered to one layer, subset and epoch for each measure. Two readings of a run and
            measure are an error. A reference row has the arm of the reading that it belongs to.
        measures: the panels, in this order.
        labels: words for measures, references, subsets and layers.
        ax: draw a single measure here.
    """
    rows, looks = _prepared(rows, measures)
    total = default_width() if width is None else width
    names = scale() * 0.062 * max(map(len, looks))  # inches that the arms' names take
    panels = small_multiples(
        len(measures), each=1.0 if total < 5 * scale() else 1.7 + names / 4, width=total, most=4, sharex=False,
        height=len(looks) * _LINE_INCHES + 0.62, legend=_legend(rows, labels), ax=ax,
    )  # fmt: skip
    for axes, measure in zip(panels.axes, measures, strict=True):
        _draw_measure(axes, rows[rows["measure"] == measure], measure, looks, labels)
    return _named(panels, looks).finished()


def _prepared(rows: pd.DataFrame, measures: Sequence[str]) -> tuple[pd.DataFrame, dict[str, ArmStyle]]:
    """The rows of the measures, checked; the look of each arm, in order."""
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
    return rows, arm_styles(arms_in_order(rows["arm"]))


def _named(panels: Panels, looks: dict[str, ArmStyle]) -> Panels:
    """A line for each arm, from the top, under its name."""
    for axes in panels.axes:
        axes.set_yticks(range(len(looks)), list(looks))
        axes.set_ylim(len(looks) - 0.5, -0.5)
        axes.tick_params(axis="y", length=0)
        axes.spines["left"].set_visible(False)
    return panels


def _draw_measure(
    axes: Axes,
    rows: pd.DataFrame,
    measure: str,
    looks: dict[str, ArmStyle],
    labels: Mapping[str, str] | None = None,
) -> None:
    """One panel: the readings of one measure."""
    axes.set_xlim(*_limits(rows))
    for line, (arm, look) in enumerate(looks.items()):
        own = rows[rows["arm"] == arm]
        _draw_references(axes, own, line, arm)
        _draw_reading(axes, own[own["reference"] == ""], line, arm, look)
    axes.set_title(capital(in_words(measure, labels)))
    layers = ", ".join((labels or {}).get(layer, layer) for layer in rows["layer"].unique() if layer)
    subsets = ", ".join(in_words(subset, labels) for subset in rows["subset"].unique() if subset)
    axes.set_xlabel(", ".join(place for place in (layers, subsets) if place), fontsize=SMALL, color=NOTE)
    axes.locator_params(axis="x", nbins=4)


def _draw_reading(axes: Axes, rows: pd.DataFrame, line: int, arm: str, look: ArmStyle) -> None:
    finite, ok = split(rows)
    color, face = (look.color, look.color) if len(ok) else (MUTED, "white")
    if not len(finite):
        _write(axes, _DASH, line)
        return
    shown = ok if len(ok) else finite
    ends = finite[["ci_low", "ci_high"]].iloc[0] if len(rows) == 1 else t_interval(shown["value"])
    axes.plot(ends, [line, line], color=color, linewidth=line_width(1.1), gid=f"interval/{arm}")
    if len(rows) > 1:
        bad = finite[finite["status"] != "ok"]
        small: dict[str, Any] = {"markersize": mark_size(0.5), "markeredgewidth": 0.5, "gid": f"run/{arm}"}
        axes.plot(ok["value"], np.full(len(ok), line + 0.25), "o", color=look.color, **small)
        axes.plot(bad["value"], np.full(len(bad), line + 0.25), **{**hollow(), **small})
        if len(ok) < len(rows):
            _write(axes, f"{len(ok)}/{len(rows)}", line)
    large: dict[str, Any] = {"marker": look.marker, "markersize": mark_size(1.25), "color": color}
    axes.plot([shown["value"].mean()], [line], **large, markerfacecolor=face, zorder=3, gid=f"reading/{arm}")


def _draw_references(axes: Axes, rows: pd.DataFrame, line: int, arm: str) -> None:
    """The band between the ends, and the benign twin's tick."""
    means = {}
    for reference in (*ENDS, "benign"):
        finite, ok = split(rows[rows["reference"] == reference])
        if len(finite):
            means[reference] = (ok if len(ok) else finite)["value"].mean()
    low, high = line - _HALF, line + _HALF
    if set(ENDS) <= means.keys():
        shade = np.linspace(0, 1, 64)[None]
        axes.imshow(
            shade, extent=(means["apart"], means["together"], high, low), cmap="Greys", vmin=-0.2, vmax=5,
            aspect="auto", interpolation="bilinear", zorder=0, gid=f"band/{arm}",
        )  # fmt: skip
    for end in ENDS:
        if end in means:
            look: dict[str, Any] = {"color": "#B0B0B0" if end == "together" else FAINT, "linewidth": line_width(1.2)}
            axes.plot([means[end]] * 2, [low, high], **look, zorder=1, gid=f"{end}/{arm}")
    if "benign" in means:
        axes.plot(
            [means["benign"]], [line], marker="|", markersize=mark_size(2.2), color="#333333", linestyle="none",
            markeredgewidth=line_width(0.8), zorder=2, gid=f"benign/{arm}",
        )  # fmt: skip


def _write(axes: Axes, note: str, line: int) -> None:
    """A small note beside the panel."""
    axes.annotate(
        note, (1, line), (1, 0), xycoords=("axes fraction", "data"), textcoords="offset points", va="center",
        fontsize=SMALL, color=NOTE, annotation_clip=False,
    )  # fmt: skip


def _limits(rows: pd.DataFrame) -> tuple[float, float]:
    """All that is drawn."""
    drawn = rows[rows["reference"].isin(["", "benign", *ENDS])]
    own = rows[rows["reference"] == ""]
    ok = own[own["status"] == "ok"]
    ends: list[Any] = [drawn["value"]]
    for _, of_arm in ok.groupby("arm"):
        ends.append(
            of_arm[["ci_low", "ci_high"]].stack() if len(of_arm) == 1 else pd.Series(t_interval(of_arm["value"]))
        )
    values = np.concatenate([np.asarray(e, dtype=float) for e in ends])
    values = values[np.isfinite(values)]
    if not len(values):
        return 0.0, 1.0
    low, high = float(values.min()), float(values.max())
    margin = 0.07 * (high - low) or max(0.1 * abs(low), 0.05)
    return low - margin, high + margin


def _legend(rows: pd.DataFrame, labels: Mapping[str, str] | None = None) -> list[Artist]:
    """What the marks of the panels mean."""
    own = rows[rows["reference"] == ""]
    dot: dict[str, Any] = {"color": MUTED, "marker": "o"}
    entries: list[Artist] = []
    if own.duplicated(["arm", "measure"]).any():
        entries.append(Line2D([], [], **dot, label="mean of runs, interval"))
        entries.append(Line2D([], [], **dot, markersize=mark_size(0.5), linestyle="none", label="one run"))
    else:
        entries.append(Line2D([], [], **dot, label="reading, interval"))
    present = set(rows["reference"])
    if "benign" in present:
        tick: dict[str, Any] = {"marker": "|", "markersize": mark_size(2), "linestyle": "none", "color": "#333333"}
        entries.append(Line2D([], [], **tick, label=in_words("benign", labels)))
    if set(ENDS) <= present:
        words = " to ".join(in_words(end, labels) for end in ENDS)
        entries.append(Patch(facecolor="#DDDDDD", label=f"from {words}"))
    elif "together" in present:
        entries.append(Line2D([], [], color="#B0B0B0", label=f"end: {in_words('together', labels)}"))
    for marks, some in ((hollow(), np.isfinite(own["value"])), (None, ~np.isfinite(own["value"]))):
        statuses = sorted(set(own.loc[(own["status"] != "ok") & some, "status"]))
        if statuses:
            words = ", ".join(status.replace("_", " ") or "no status" for status in statuses)
            shown: dict[str, Any] = marks or {"marker": "_", "linestyle": "none", "color": NOTE}
            entries.append(Line2D([], [], **shown, label=words))
    return entries
