"""Accuracy, attack success and losses along training."""

import math
from typing import Any

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.lines import Line2D

from .canvas import empty_figure, panel_grid, settled
from .frames import arms_in_order, checked, over_runs
from .style import MUTED, TWO_COLUMN, ArmStyle, arm_styles, style

__all__ = ["dynamics"]

_TITLES = {"acc": "ACC", "asr": "ASR"}
_NUMBERS = ("seed", "epoch", "loss_clean", "loss_poison", "acc", "asr")


def dynamics(history: pd.DataFrame, *, width: float = TWO_COLUMN) -> Figure:
    """ACC and ASR of all arms over epochs; below them each arm's loss on clean and on poisoned images.

    ``history`` has the columns run, arm, seed, epoch, loss_clean, loss_poison, acc, asr; others are ignored. ``acc``
    and ``asr`` are shares in [0, 1]. They are NaN on epochs that were not evaluated, and the line joins the others.
    With several runs of an arm the line is their mean, and the band spans the lowest to the highest. Losses of
    different objectives have different scales, so each arm has its own axis. A gap means that the loss was not finite.
    """
    history = checked(history, "history", texts=("run", "arm"), numbers=_NUMBERS)
    for column in _TITLES:
        outside = history.loc[(history[column] < 0) | (history[column] > 1), column]
        if len(outside):
            raise ValueError(f"history: expected {column} as a share in [0, 1], received {outside.iloc[0]:g}")
    arms = arms_in_order(history["arm"])
    looks = arm_styles(arms)
    rows, columns = panel_grid(len(arms), width, each=1.5, most=4)
    side_by_side = width >= 5
    heights = (2.1 if side_by_side else 3.8, 0.35 + 1.2 * rows)
    with style():
        figure = empty_figure(width, sum(heights))
        upper, lower = np.asarray(figure.subfigures(2, 1, height_ratios=heights))
        shares = upper.subplots(*((1, 2) if side_by_side else (2, 1)), sharex=True)
        for axes, column in zip(shares, _TITLES, strict=True):
            _draw_shares(axes, history, column, looks)
            axes.label_outer()
        upper.legend(
            handles=[Line2D([], [], **_line(looks[arm]), label=arm) for arm in arms],
            loc="outside lower center",
            ncols=max(1, min(len(arms), int(width / 1.3))),
        )
        losses = lower.subplots(rows, columns, squeeze=False, sharex=True)
        for position, (axes, arm) in enumerate(zip(losses.flat, arms, strict=False)):
            _draw_losses(axes, history[history["arm"] == arm], arm, looks[arm])
            if position + columns >= len(arms):  # nothing below it
                axes.tick_params(labelbottom=True)
                axes.set_xlabel("epoch")
        for spare in losses.flat[len(arms) :]:
            spare.remove()
        for axes in losses[:, 0]:
            axes.set_ylabel("loss")
        lower.legend(
            handles=[
                Line2D([], [], color=MUTED, label="clean images (in the arm's colour)"),
                Line2D([], [], color="black", linestyle=(0, (3, 1.5)), label="poisoned images"),
            ],
            loc="outside lower center",
            ncols=2,
        )
        return settled(figure)


def _line(look: ArmStyle) -> dict[str, Any]:
    return {"color": look.color, "marker": look.marker, "linestyle": look.linestyle, "markersize": 3.5}


def _draw_shares(axes: Axes, history: pd.DataFrame, column: str, looks: dict[str, ArmStyle]) -> None:
    unmeasured = []
    for arm, look in looks.items():
        curves = over_runs(history[history["arm"] == arm].dropna(subset=[column]), "epoch", column)
        if curves.empty:
            unmeasured.append(arm)
            continue
        every = math.ceil(len(curves) / 10)  # markers distinguish arms; one on every epoch would hide the line
        axes.plot(curves.index, curves["mean"], **_line(look), markevery=every, gid=f"{column}/{arm}")
        axes.fill_between(curves.index, curves["min"], curves["max"], color=look.color, alpha=0.18, linewidth=0)
    if unmeasured:
        axes.text(0.02, 0.5, "not evaluated:\n" + "\n".join(unmeasured), transform=axes.transAxes, color=MUTED)
    axes.set(ylim=(-0.04, 1.06), xlabel="epoch")
    axes.locator_params(axis="x", nbins=8, integer=True)
    axes.set_title(_TITLES[column], loc="left")
    axes.grid(axis="y", color="#EEEEEE", linewidth=0.5)
    axes.set_axisbelow(True)


def _draw_losses(axes: Axes, history: pd.DataFrame, arm: str, look: ArmStyle) -> None:
    for column, color, dashes in (("loss_clean", look.color, "-"), ("loss_poison", "black", (0, (3, 1.5)))):
        curves = over_runs(history, "epoch", column)
        if curves["mean"].notna().any():
            marker = "." if len(curves) == 1 else None  # one epoch makes no line
            axes.plot(curves.index, curves["mean"], color=color, linestyle=dashes, marker=marker, gid=f"{column}/{arm}")
            axes.fill_between(curves.index, curves["min"], curves["max"], color=color, alpha=0.18, linewidth=0)
    if not axes.lines:
        axes.text(0.5, 0.5, "no per-sample loss", transform=axes.transAxes, ha="center", color=MUTED)
        axes.set_ylim(0, 1)
        axes.tick_params(axis="y", left=False, labelleft=False)
    axes.set_title(arm, loc="left")
    axes.locator_params(axis="x", nbins=4, integer=True)
    axes.locator_params(axis="y", nbins=4)
