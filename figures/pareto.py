"""Which mitigations are worth their price: the ASR that is left against the ACC that is lost."""

from collections.abc import Mapping
from typing import Any

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from .canvas import small_multiples
from .frames import arms_in_order, checked
from .style import FAINT, SMALL, arm_styles, in_words, line_width, mark_size

__all__ = ["front", "pareto"]


def pareto(
    outcomes: pd.DataFrame,
    *,
    labels: Mapping[str, str] | None = None,
    width: float | None = None,
    ax: Axes | None = None,
) -> Figure:
    """One panel an arm, one dot a mitigation: means over seeds. Those that no other beats in both are joined and named.

    Down and to the left is better. The axis of ACC lost is linear up to .01 and logarithmic beyond, so that small costs
    can be seen apart; gains count as 0.

    Args:
        outcomes: columns defence, arm, seed, asr (left), acc_lost. Lines without both numbers are left out.
        labels: defence → its name.
        ax: draw a single arm here.
    """
    outcomes = checked(outcomes, "outcomes", texts=("defence", "arm"), numbers=("seed", "asr", "acc_lost"))
    whole = outcomes[np.isfinite(outcomes[["asr", "acc_lost"]]).all(axis=1)]
    if whole.empty:
        raise ValueError("outcomes: expected lines with ASR and ACC lost, received none")
    looks = arm_styles(arms_in_order(whole["arm"]))
    panels = small_multiples(len(looks), each=1.45, height=1.7, width=width, most=3, ax=ax)
    most = min(1.0, max(0.05, 2.5 * float(whole.groupby(["arm", "defence"])["acc_lost"].mean().max())))
    for axes, (arm, look) in zip(panels.axes, looks.items(), strict=True):
        means = pd.DataFrame(whole[whole["arm"] == arm].groupby("defence", sort=False)[["acc_lost", "asr"]].mean())
        means["acc_lost"] = means["acc_lost"].clip(lower=0)
        best = front(means)
        rest = means.drop(index=best.index)
        dots: dict[str, Any] = {"linestyle": "none", "marker": look.marker, "color": look.color}
        axes.plot(rest["acc_lost"], rest["asr"], **dots, ms=mark_size(0.8), alpha=0.45, gid=f"rest/{arm}")
        axes.step(best["acc_lost"], best["asr"], where="post", color=look.color, linewidth=line_width(0.7), zorder=1)
        axes.plot(best["acc_lost"], best["asr"], **dots, ms=mark_size(1.1), gid=f"front/{arm}")
        lowest = 0.0  # of the next name: names go up from the last, so that they do not lie on each other
        for name, point in best[::-1].iterrows():
            lowest = max(float(point["asr"]) + 0.03, lowest)
            where: dict[str, Any] = {"xytext": (mark_size(1.0), 0), "textcoords": "offset points", "fontsize": SMALL}
            axes.annotate(in_words(str(name), labels), (float(point["acc_lost"]), lowest), **where)
            lowest += 0.1
        axes.axhline(0, color=FAINT, linewidth=0.7, zorder=0)
        axes.set_xscale("symlog", linthresh=0.01, linscale=0.6)
        axes.set(xlim=(-0.002, most), ylim=(-0.06, 1.1))
        ticks = {0: "0", 0.01: ".01", 0.1: ".1", 1: "1"}
        axes.set_xticks([at for at in ticks if at <= most], [ticks[at] for at in ticks if at <= most])
        axes.set_yticks([0, 0.5, 1])
        axes.set_title(arm)
    panels.name(x="ACC lost", y="ASR left")
    return panels.finished()


def front(points: pd.DataFrame) -> pd.DataFrame:
    """The lines that no other line beats in both columns, ``acc_lost`` and ``asr``, by rising ACC lost.

    >>> front(pd.DataFrame({"acc_lost": [0.0, 0.1, 0.2], "asr": [0.9, 0.1, 0.5]})).index.tolist()
    [0, 1]
    """
    ordered = points.sort_values(["acc_lost", "asr"], kind="stable")
    before = ordered["asr"].cummin().shift(fill_value=np.inf)
    return ordered[ordered["asr"] < before]
