"""Accuracy and attack success along training, and the losses below them."""

from collections.abc import Sequence
from typing import Any

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.lines import Line2D

from .canvas import small_multiples
from .frames import arms_in_order, checked
from .style import MUTED, ArmStyle, arm_styles, line_of, mark_size

__all__ = ["dynamics", "losses"]

_TITLES = {"acc": "ACC", "asr": "ASR"}
_DASHED = (0, (3, 1.5))
_MIDDLE_HALF = ("pi", 50)


def dynamics(
    history: pd.DataFrame,
    *,
    measures: Sequence[str] = ("acc", "asr"),
    width: float | None = None,
    ax: Axes | None = None,
) -> Figure:
    """A column of panels for each learner, a row for ACC and one for ASR; one line an arm, over epochs.

    Lines are medians over runs, bands the middle half of them. ACC has an axis of its own, which need not begin at 0.

    Args:
        history: columns run, arm, seed, epoch, acc, asr; others are ignored. ``acc`` and ``asr`` are shares in [0, 1].
            They are NaN on epochs that were not evaluated, and the line joins the others. Arms are LEARNER-POISON.
        measures: ``acc``, ``asr`` or both.
        ax: draw a single learner and measure here.
    """
    history = checked(history, "history", texts=("run", "arm"), numbers=("seed", "epoch", *_TITLES))
    if not measures or isinstance(measures, str) or not set(measures) <= _TITLES.keys():
        raise ValueError(f"measures: expected some of {', '.join(_TITLES)}, received {measures!r}")
    for column in _TITLES:
        outside = history.loc[(history[column] < 0) | (history[column] > 1), column]
        if len(outside):
            raise ValueError(f"history: expected {column} as a share in [0, 1], received {outside.iloc[0]:g}")
    looks = arm_styles(arms_in_order(history["arm"]))
    learners = list(dict.fromkeys(arm.partition("-")[0] for arm in looks))
    legend = [Line2D([], [], **line_of(look), label=arm) for arm, look in looks.items()]
    panels = small_multiples(
        len(learners) * len(measures), each=0.95, height=1.35, width=width, most=len(learners), legend=legend, ax=ax,
        sharey=False,
    )  # fmt: skip
    cells = [(measure, learner) for measure in measures for learner in learners]
    for axes, (measure, learner) in zip(panels.axes, cells, strict=True):
        arms = {arm: look for arm, look in looks.items() if arm.partition("-")[0] == learner}
        _draw_shares(axes, history, measure, arms)
        axes.set_ylim(*_limits(history[measure], measure))
        if measure == measures[0]:
            axes.set_title(learner)
        axes.set_ylabel(_TITLES[measure] if learner == learners[0] else "")
        axes.tick_params(labelleft=learner == learners[0])
    panels.name(x="epoch", **({"y": _TITLES[measures[0]]} if len(cells) == 1 else {}))
    return panels.finished()


def losses(history: pd.DataFrame, *, width: float | None = None, ax: Axes | None = None) -> Figure:
    """One panel an arm: mean loss of its clean and of its poisoned training images over epochs.

    Medians over runs, with the middle half of them. Losses of different objectives have different scales, so each arm
    has its own axis. A gap means that the loss was not finite.

    ``history``: columns run, arm, seed, epoch, loss_clean, loss_poison; others are ignored.
    """
    numbers = ("seed", "epoch", "loss_clean", "loss_poison")
    history = checked(history, "history", texts=("run", "arm"), numbers=numbers)
    looks = arm_styles(arms_in_order(history["arm"]))
    legend = [
        Line2D([], [], color=MUTED, label="clean images (in the arm's colour)"),
        Line2D([], [], color="black", linestyle=_DASHED, label="poisoned images"),
    ]
    panels = small_multiples(len(looks), each=1.4, height=1.3, width=width, legend=legend, ax=ax, sharey=False)
    for axes, (arm, look) in zip(panels.axes, looks.items(), strict=True):
        own = history[history["arm"] == arm]
        for column, color, dashes in (("loss_clean", look.color, "-"), ("loss_poison", "black", _DASHED)):
            _line(axes, own, column, f"{column}/{arm}", color=color, linestyle=dashes)
        if not axes.lines:
            axes.text(0.5, 0.5, "no loss of single images", transform=axes.transAxes, ha="center", color=MUTED)
            axes.set_ylim(0, 1)
            axes.tick_params(axis="y", left=False, labelleft=False)
        axes.set_title(arm)
        axes.locator_params(axis="x", nbins=4, integer=True)
        axes.locator_params(axis="y", nbins=4)
    panels.name(x="epoch", y="loss")
    return panels.finished()


def _limits(values: "pd.Series[float]", measure: str) -> tuple[float, float]:
    """ASR: from 0 to 1. ACC: what is there, so that arms can be seen apart."""
    low = 0.0 if measure == "asr" or values.isna().all() else float(values.min())
    high = 1.0 if measure == "asr" or values.isna().all() else float(values.max())
    margin = 0.06 * (high - low) or 0.05
    return low - margin, high + margin


def _draw_shares(axes: Axes, history: pd.DataFrame, column: str, looks: dict[str, ArmStyle]) -> None:
    unmeasured = []
    for arm, look in looks.items():
        own = history[history["arm"] == arm].dropna(subset=[column])
        if own.empty:
            unmeasured.append(arm)
            continue
        every = -(-own["epoch"].nunique() // 8)  # markers distinguish arms; one on every epoch would hide the line
        _line(axes, own, column, f"{column}/{arm}", **line_of(look), markevery=every, markersize=mark_size(0.9))
    if unmeasured:
        axes.text(0.02, 0.5, "not evaluated:\n" + "\n".join(unmeasured), transform=axes.transAxes, color=MUTED)
    axes.locator_params(axis="x", nbins=4, integer=True)
    axes.locator_params(axis="y", nbins=5)


def _line(axes: Axes, rows: pd.DataFrame, column: str, gid: str, **look: Any) -> None:
    import seaborn as sns  # it imports pyplot, which other figures do without

    if not np.isfinite(rows[column]).any():
        return
    if rows["epoch"].nunique() == 1:
        look["marker"] = look.get("marker", ".")  # one epoch makes no line
    sns.lineplot(
        rows, x="epoch", y=column, estimator="median", errorbar=_MIDDLE_HALF, err_kws={"alpha": 0.18, "linewidth": 0},
        markeredgewidth=0, ax=axes, **look,
    )  # fmt: skip
    axes.lines[-1].set_gid(gid)
    axes.set(xlabel="", ylabel="")
