"""The claims at a glance: each part of a claim with its intervals, and where it must lie for the claim to hold."""

from collections.abc import Mapping

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from .canvas import empty_figure, settled
from .frames import checked
from .style import FAINT, MUTED, NOTE, TWO_COLUMN, ArmStyle, arm_styles, in_words, style

__all__ = ["forest"]

_TEXTS = ("claim", "family", "arm", "against", "measure", "side", "verdict")
_NUMBERS = ("effect", "ci90_low", "ci90_high", "ci_low", "ci_high", "margin")
_KEY = ["claim", "family", "arm", "against"]
_CLEAN = "clean"


def forest(claims: pd.DataFrame, *, labels: Mapping[str, str] | None = None, width: float = TWO_COLUMN) -> Figure:
    """Parts of the claims with 90 % (thick) and 95 % intervals: a row of panels for each claim, one panel a part, one
    line an arm or contrast.

    ``claims`` is the table of verdicts, columns claim, family, arm, against, measure, side, margin, verdict, effect,
    ci90_low, ci90_high, ci_low, ci_high. Lines whose ``side`` is empty are left out. The shaded region is where a part
    holds: ``below`` or ``above`` its margin, or ``within`` ± the margin. A part without a value reads "no value".
    Verdicts are on the right; names of exploratory claims are grey. ``labels``: measure → title.
    """
    claims = checked(claims, "claims", texts=_TEXTS, numbers=_NUMBERS)
    claims = claims[claims["side"] != ""]
    if strange := set(claims["side"]) - {"below", "above", "within"}:
        raise ValueError(f"side: expected below, above or within, received {min(strange)!r}")
    if not (claims["margin"] > 0).all():
        raise ValueError(f"margin: expected positive numbers, received {claims['margin'].min()!r}")
    groups = [of_claim for _, of_claim in claims.groupby("claim", sort=False)]
    heights = [len(of_claim.drop_duplicates(_KEY)) for of_claim in groups]
    columns = max((of_claim["measure"].nunique() for of_claim in groups), default=1)
    looks = arm_styles(claims["arm"].unique())
    with style():
        figure = empty_figure(width, 0.17 * sum(heights) + 0.55 * max(1, len(groups)))
        grid = figure.add_gridspec(max(1, len(groups)), columns, height_ratios=[h + 1 for h in heights] or None)
        for row, of_claim in enumerate(groups):
            lines = of_claim.drop_duplicates(_KEY)
            keys = list(lines[_KEY].itertuples(index=False, name=None))
            places = {key: len(lines) - 1 - i for i, key in enumerate(keys)}
            drawn: list[Axes] = []
            for column, (measure, parts) in enumerate(of_claim.groupby("measure", sort=False)):
                axes = figure.add_subplot(grid[row, column], sharey=drawn[0] if drawn else None)
                _panel(axes, parts, places, looks)
                axes.set_title(in_words(str(measure), labels), loc="left", fontsize=6.5)
                axes.tick_params(axis="y", length=0, labelleft=not drawn)
                drawn.append(axes)
            drawn[0].set_yticks(range(len(lines))[::-1], [_name(*key) for key in keys])
            for label, (_, family, *_) in zip(drawn[0].get_yticklabels(), keys, strict=True):
                label.set_color(NOTE if family == "exploratory" else "black")
            drawn[0].set_ylim(-0.7, len(lines) - 0.3)
            last = figure.add_subplot(grid[row, -1], sharey=drawn[0]) if len(drawn) < columns else drawn[-1]
            if last is not drawn[-1]:  # only for the verdicts, which stand in one column
                last.set_axis_off()
            for y, verdict in zip(places.values(), lines["verdict"], strict=True):
                last.annotate(
                    verdict, (1, y), xycoords=("axes fraction", "data"), xytext=(4, 0), textcoords="offset points",
                    va="center", fontsize=5.5, color=NOTE, annotation_clip=False,
                )  # fmt: skip
        return settled(figure)


def _panel(
    axes: Axes, parts: pd.DataFrame, places: Mapping[tuple[str, ...], int], looks: Mapping[str, ArmStyle]
) -> None:
    """One part of a claim, for all its lines."""
    margin, side = float(parts["margin"].iloc[0]), parts["side"].iloc[0]
    axes.axvline(0, color=MUTED, linewidth=0.5, zorder=0)
    edges = (-margin, margin) if side == "within" else (margin,)
    for edge in edges:
        axes.axvline(edge, color=MUTED, linewidth=0.5, linestyle=":", zorder=0)
    for row in parts.to_dict("records"):
        y, look = places[tuple(row[column] for column in _KEY)], looks[row["arm"]]
        if not np.isfinite(row["effect"]):
            axes.text(margin, y, "no value", ha="center", va="center", fontsize=5.5, color=NOTE)
            continue
        gid = "/".join(row[column] for column in ("claim", "arm", "against", "measure"))
        axes.plot([row["ci_low"], row["ci_high"]], [y, y], color=look.color, linewidth=0.9, gid=f"interval/{gid}")
        axes.plot([row["ci90_low"], row["ci90_high"]], [y, y], color=look.color, linewidth=2, gid=f"interval90/{gid}")
        axes.plot([row["effect"]], [y], marker=look.marker, markersize=3.5, color=look.color, zorder=3, gid=gid)
    axes.margins(x=0.1)
    axes.locator_params(axis="x", nbins=4)
    axes.spines["left"].set_visible(False)
    low, high = axes.get_xlim()
    left = low if side == "below" else -margin if side == "within" else margin
    right = high if side == "above" else margin
    axes.axvspan(left, right, color=FAINT, linewidth=0, zorder=-1, gid=f"holds/{side}")
    axes.set_xlim(low, high)


def _name(claim: str, _: str, arm: str, against: str) -> str:
    if arm.endswith(f", {_CLEAN}"):  # an interaction: a difference of two learners, less the same one
        return f"{claim}  ({arm.removesuffix(f', {_CLEAN}')}), {_CLEAN} − {against}"
    return f"{claim}  {arm}{' − ' * bool(against)}{against}"
