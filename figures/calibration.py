"""Readings on representations with a planted truth, against the dial that each is declared to follow."""

from collections.abc import Mapping

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.lines import Line2D

from .canvas import small_multiples
from .style import NOTE, SMALL, capital, in_words, mark_size

__all__ = ["calibration"]

_COLORS = ("#56B4E9", "#0072B2", "#000000")
_OTHER = "#D55E00"
MOST_MISSING = 0.2
COLUMNS = ("measure", "dial", "n", "setting", "value")


def calibration(
    replicates: pd.DataFrame,
    *,
    dials: Mapping[str, str],
    notes: Mapping[str, str],
    labels: Mapping[str, str] | None = None,
    width: float | None = None,
) -> Figure:
    """One small panel a reading: mean and the middle 90 % of the replicates against the dial.

    Args:
        replicates: columns ``measure, dial, n, setting, value``, one row a replicate. A size n is not drawn if more
            than a fifth of the replicates at one setting have no value.
        dials: measure → the dial that it is declared to follow. Its rows are drawn with bands, one colour an n. Rows of
            other dials are dashed lines, one a dial (and plant, if there is such a column), at their largest n, each
            over that dial's range.
        notes: measure → a short note in its panel.
        labels: measure → its title.
    """
    missing = [c for c in COLUMNS if c not in replicates.columns]
    if missing or replicates.empty:
        raise ValueError(
            f"replicates: expected rows with the columns {', '.join(COLUMNS)}, missing {missing or 'rows'}"
        )
    measures = [m for m in dials if m in set(replicates["measure"])]
    if not measures:
        raise ValueError(f"dials: expected measures among the replicates, received {', '.join(dials) or 'none'}")
    sizes = sorted(replicates["n"].unique())
    colors = dict(zip(sizes, _COLORS[-len(sizes) :], strict=False))
    legend: list[Line2D] = [
        Line2D([], [], color=color, label=f"n = {n}: mean, middle 90 %") for n, color in colors.items()
    ]
    legend.append(Line2D([], [], color=_OTHER, linestyle="--", label="another dial over its range"))
    panels = small_multiples(
        len(measures), each=1.5, height=1.45, width=width, legend=legend, sharex=False, sharey=False
    )
    for axes, measure in zip(panels.axes, measures, strict=True):
        _draw(axes, replicates[replicates["measure"] == measure], dials[measure], sizes)
        axes.set_title(capital(in_words(measure, labels)))
        axes.set_xlabel(dials[measure])
        if measure in notes:
            axes.text(0.98, 0.03, notes[measure], transform=axes.transAxes, ha="right", fontsize=SMALL, color=NOTE)
    return panels.finished()


def _draw(axes: Axes, rows: pd.DataFrame, dial: str, sizes: list[int]) -> None:
    own, other = rows[rows["dial"] == dial], rows[rows["dial"] != dial]
    for n, color in zip(sizes, _COLORS[-len(sizes) :], strict=False):
        groups = own[own["n"] == n].groupby("setting")["value"]
        if not len(groups) or groups.apply(lambda values: values.isna().mean()).max() > MOST_MISSING:
            continue
        x = np.array(list(groups.groups))
        axes.fill_between(x, groups.quantile(0.05), groups.quantile(0.95), color=color, alpha=0.18, linewidth=0)
        axes.plot(x, groups.mean(), color=color, marker="o", markersize=mark_size(0.6))
    low, high = own["setting"].min(), own["setting"].max()
    for _, lines in other[other["n"] == other["n"].max()].groupby([c for c in ("plant", "dial") if c in rows]):
        means = lines.groupby("setting")["value"].mean()
        span = means.index.max() - means.index.min()
        axes.plot(low + (means.index - means.index.min()) / span * (high - low), means, "--", color=_OTHER)
    axes.locator_params(nbins=4)
