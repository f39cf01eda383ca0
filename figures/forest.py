"""The claims at a glance: each part of a claim with its intervals, and where it must lie for the claim to hold."""

import textwrap
from collections.abc import Mapping
from typing import Any

import matplotlib
import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure, SubFigure

from .canvas import empty_figure, settled
from .frames import checked
from .style import (
    FAINT,
    MUTED,
    NOTE,
    SMALL,
    ArmStyle,
    arm_styles,
    capital,
    default_width,
    in_words,
    line_width,
    mark_size,
    scale,
)

__all__ = ["forest"]

_TEXTS = ("claim", "family", "arm", "against", "measure", "side", "verdict")
_NUMBERS = ("effect", "ci90_low", "ci90_high", "ci_low", "ci_high", "margin")
_KEY = ["claim", "family", "arm", "against"]
_CLEAN = "clean"


def forest(claims: pd.DataFrame, *, labels: Mapping[str, str] | None = None, width: float | None = None) -> Figure:
    """Parts of the claims with 90 % (thick) and 95 % intervals: a row of panels under each claim, one panel a part, one
    line an arm or contrast.

    ``claims`` is the table of verdicts, columns claim, family, arm, against, measure, side, margin, verdict, effect,
    ci90_low, ci90_high, ci_low, ci_high. Lines whose ``side`` is empty are left out. The shaded region is where a part
    holds: ``below`` or ``above`` its margin, or ``within`` ± the margin. A part without a value is a dash. Verdicts are
    on the right, or below the names in a narrow figure, which shows the first two parts of a claim. Names of
    exploratory claims are grey. ``labels``: measure → title.
    """
    claims = checked(claims, "claims", texts=_TEXTS, numbers=_NUMBERS)
    claims = claims[claims["side"] != ""]
    if strange := set(claims["side"]) - {"below", "above", "within"}:
        raise ValueError(f"side: expected below, above or within, received {min(strange)!r}")
    if not (claims["margin"] > 0).all():
        raise ValueError(f"margin: expected positive numbers, received {claims['margin'].min()!r}")
    width = default_width() if width is None else width
    narrow = width < 5 * scale()
    groups = [of_claim for _, of_claim in claims.groupby("claim", sort=False)]
    columns = max((of_claim["measure"].nunique() for of_claim in groups), default=1)
    columns = min(columns, 2) if narrow else columns
    looks = arm_styles(claims["arm"].unique())
    line = 0.25 if narrow else 0.17  # inches
    heights = [line * len(of_claim.drop_duplicates(_KEY)) + (0.75 if narrow else 0.62) for of_claim in groups]
    figure = empty_figure(width, scale() * sum(heights, 0.1))
    parts = np.ravel(figure.subfigures(max(1, len(groups)), 1, squeeze=False, height_ratios=heights or None))
    for part, of_claim in zip(parts, groups, strict=False):
        header = textwrap.fill(of_claim["claim"].iloc[0], int(width / scale() / 0.062))
        part.suptitle(header, x=0.01, ha="left", fontsize=matplotlib.rcParams["axes.titlesize"], fontweight="bold")
        _claim(part, of_claim, columns, looks, labels, narrow=narrow)
    return settled(figure)


def _claim(
    part: SubFigure,
    claim: pd.DataFrame,
    columns: int,
    looks: Mapping[str, ArmStyle],
    labels: Mapping[str, str] | None,
    *,
    narrow: bool,
) -> None:
    """Names, panels and verdicts of one claim, from left to right."""
    lines = claim.drop_duplicates(_KEY)
    keys = list(lines[_KEY].itertuples(index=False, name=None))
    places = {key: len(lines) - 1 - i for i, key in enumerate(keys)}
    ratios = [1.5, *[0.9] * columns] if narrow else [2.1, *[1.6] * columns, 1.4]
    axes = part.subplots(1, len(ratios), sharey=True, width_ratios=ratios)
    axes[0].set_ylim(-0.7, len(lines) - 0.3)
    for spare in (axes[0], *axes[1 + claim["measure"].nunique() :]):
        spare.set_axis_off()
    for panel, (measure, own) in zip(axes[1 : 1 + columns], claim.groupby("measure", sort=False), strict=False):
        _panel(panel, own, places, looks)
        panel.set_title(capital(in_words(str(measure), labels)), fontsize=SMALL)
        panel.tick_params(axis="y", length=0, labelleft=False)
        panel.locator_params(axis="x", nbins=2 if narrow else 3)
    for key, verdict in zip(keys, lines["verdict"], strict=True):
        y, colour = places[key], NOTE if key[1] == "exploratory" else "black"
        small: dict[str, Any] = {"fontsize": SMALL} if narrow else {}
        axes[0].text(1, y, _name(*key), ha="right", va="bottom" if narrow else "center", color=colour, **small)
        beside: dict[str, Any] = {"ha": "right", "va": "top"} if narrow else {"ha": "left", "va": "center"}
        axes[0 if narrow else -1].text(float(narrow), y, verdict, fontsize=SMALL, color=NOTE, **beside)


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
            axes.text(margin, y, "–", ha="center", va="center", color=NOTE)
            continue
        gid = "/".join(row[column] for column in ("claim", "arm", "against", "measure"))
        axes.plot(
            [row["ci_low"], row["ci_high"]], [y, y], color=look.color, linewidth=line_width(0.8), gid=f"interval/{gid}"
        )
        axes.plot(
            [row["ci90_low"], row["ci90_high"]],
            [y, y],
            color=look.color,
            linewidth=line_width(1.8),
            gid=f"interval90/{gid}",
        )
        axes.plot([row["effect"]], [y], marker=look.marker, markersize=mark_size(), color=look.color, zorder=3, gid=gid)
    axes.margins(x=0.1)
    axes.spines["left"].set_visible(False)
    low, high = axes.get_xlim()
    left = low if side == "below" else -margin if side == "within" else margin
    right = high if side == "above" else margin
    axes.axvspan(left, right, color=FAINT, linewidth=0, zorder=-1, gid=f"holds/{side}")
    axes.set_xlim(low, high)


def _name(claim: str, _: str, arm: str, against: str) -> str:
    if arm.endswith(f", {_CLEAN}"):  # an interaction: a difference of two learners, less the same one
        return f"({arm.removesuffix(f', {_CLEAN}')}), {_CLEAN} − {against}"
    return f"{arm}{' − ' * bool(against)}{against}" or claim
