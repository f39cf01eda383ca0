"""The claims at a glance: each effect with its interval, and the margin that was set before the study."""

from collections.abc import Mapping

import numpy as np
import pandas as pd
from matplotlib.figure import Figure

from .canvas import empty_figure, settled
from .frames import checked
from .style import FAINT, MUTED, NOTE, TWO_COLUMN, arm_styles, in_words, style

__all__ = ["forest"]

_TEXTS = ("claim", "arm", "against", "measure", "verdict")
_NUMBERS = ("effect", "ci_low", "ci_high", "seeds")


def forest(
    claims: pd.DataFrame, *, margin: float, labels: Mapping[str, str] | None = None, width: float = TWO_COLUMN
) -> Figure:
    """Effects of the claims with 95 % intervals: one panel a primary reading, one line a claim and arm.

    ``claims`` is the table of verdicts, columns claim, arm, against, measure, verdict, effect, ci_low, ci_high, seeds.
    The band is ±``margin``: effects that count as none. A line without an effect reads "no value". Verdicts are on the
    right. ``labels``: measure → title.
    """
    if not margin > 0:
        raise ValueError(f"margin: expected a positive number, received {margin!r}")
    claims = checked(claims, "claims", texts=_TEXTS, numbers=_NUMBERS)
    lines = claims.drop_duplicates(["claim", "arm", "against"])[["claim", "arm", "against", "verdict"]]
    keys = list(zip(lines["claim"], lines["arm"], lines["against"], strict=True))
    places = {key: len(lines) - 1 - i for i, key in enumerate(keys)}
    measures = list(dict.fromkeys(claims["measure"]))
    looks = arm_styles(claims["arm"].unique())
    with style():
        figure = empty_figure(width, 0.6 + 0.17 * len(lines))
        grid = figure.subplots(1, len(measures), squeeze=False, sharey=True)[0]
        for axes, measure in zip(grid, measures, strict=True):
            axes.axvspan(-margin, margin, color=FAINT, linewidth=0, zorder=0)
            axes.axvline(0, color=MUTED, linewidth=0.5, zorder=0)
            for row in claims[claims["measure"] == measure].itertuples():
                y, look = places[(row.claim, row.arm, row.against)], looks[row.arm]
                if not np.isfinite(row.effect):
                    axes.text(0, y, "no value", ha="center", va="center", fontsize=5.5, color=NOTE)
                    continue
                gid = f"{row.claim}/{row.arm}/{row.against}/{measure}"
                axes.plot([row.ci_low, row.ci_high], [y, y], color=look.color, linewidth=0.9, gid=f"interval/{gid}")
                axes.plot([row.effect], [y], marker=look.marker, markersize=3.5, color=look.color, zorder=3, gid=gid)
            axes.set_title(in_words(measure, labels), loc="left")
            axes.set_xlabel("effect (minus benign twin)")
            axes.locator_params(axis="x", nbins=5)
            axes.tick_params(axis="y", length=0)
            axes.spines["left"].set_visible(False)
        grid[0].set_yticks(range(len(lines))[::-1], [_name(*key) for key in keys])
        grid[0].set_ylim(-0.7, len(lines) - 0.3)
        for (_, y), verdict in zip(places.items(), lines["verdict"], strict=True):
            grid[-1].annotate(
                verdict, (1, y), xycoords=("axes fraction", "data"), xytext=(4, 0), textcoords="offset points",
                va="center", fontsize=5.5, color=NOTE, annotation_clip=False,
            )  # fmt: skip
        return settled(figure)


def _name(claim: str, arm: str, against: str) -> str:
    """The benign twin is not named: it is subtracted everywhere."""
    return f"{claim}  {arm}" if against.endswith("(benign twin)") else f"{claim}  {arm} − {against}"
