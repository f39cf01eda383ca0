"""Where clean and triggered images lie in a two-dimensional embedding of each arm's features."""

from typing import Any

import matplotlib.patheffects as effects
import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.lines import Line2D

from .canvas import small_multiples
from .frames import arms_in_order, checked
from .style import MUTED, NOTE, ROLES, SMALL, mark_size, scale

__all__ = ["embeddings"]

# Marker, its size as a share of that in force, and the rest as matplotlib takes it. Later kinds lie on top: the figure
# shows whether the target class lies among the triggered images, and misses must not hide hits.
_LOOKS: dict[str, tuple[str, float, dict[str, Any]]] = {
    "other": ("o", 0.5, {"color": ROLES["other"], "markeredgewidth": 0}),
    "miss": ("2", 0.7, {"color": ROLES["misses"], "markeredgewidth": 0.4, "alpha": 0.8}),
    "triggered-target": ("D", 0.65, {"color": "none", "markeredgecolor": ROLES["target"], "markeredgewidth": 0.4}),
    "hit": ("^", 0.8, {"color": ROLES["hits"], "markeredgewidth": 0, "alpha": 0.7}),
    "target": ("o", 0.65, {"color": ROLES["target"], "markeredgewidth": 0}),
}
_MOST_NAMES = 12


def embeddings(points: pd.DataFrame, *, width: float | None = None, ax: Axes | None = None) -> Figure:
    """One panel an arm: clean images grey, the target class black, hits in colour, other triggered images thin.

    Names of classes stand at the medians of their clean images, up to twelve classes.

    Args:
        points: columns run, arm, seed, image, label, class_name, triggered, target, hit, x, y. ``hit`` is true of a
            triggered image of another class that the evaluator sends to the target. Of several seeds (or runs of a
            seed) the first is drawn, and the title reports it: coordinates of different runs are unrelated.
        ax: draw a single arm here.
    """
    points = prepared(points)
    arms = arms_in_order(points["arm"])
    panels = small_multiples(
        len(arms), each=1.5, height=2.15, width=width, most=3, legend=legend(points), ax=ax, sharex=False, sharey=False
    )
    notes = [draw_arm(axes, points[points["arm"] == arm], arm) for axes, arm in zip(panels.axes, arms, strict=True)]
    if len(set(notes)) == 1:
        panels.name(x=notes[0])
    else:
        for axes, note in zip(panels.axes, notes, strict=True):
            axes.set_xlabel(note, fontsize=SMALL, color=NOTE)
    return panels.finished()


def prepared(points: pd.DataFrame) -> pd.DataFrame:
    """The points, checked, with their ``kind``."""
    points = checked(
        points,
        "points",
        texts=("run", "arm", "class_name"),
        numbers=("seed", "label", "triggered", "target", "hit", "x", "y"),
    )
    triggered, target = points["triggered"] == 1, points["label"] == points["target"]
    for column, where in (("triggered", points.index >= 0), ("hit", triggered & ~target)):
        strange = points.loc[where & ~points[column].isin([0, 1]), column]
        if len(strange):
            raise ValueError(f"points: expected true or false in column {column}, received {strange.iloc[0]:g}")
    return points.assign(
        kind=np.select(
            [triggered & target, triggered & (points["hit"] == 1), triggered, target],
            ["triggered-target", "hit", "miss", "target"],
            "other",
        )
    )


def draw_arm(axes: Axes, points: pd.DataFrame, arm: str) -> str:
    """One panel: the first run of the arm. Returns which, and of how many images."""
    seeds = sorted(points["seed"].unique())
    runs = points["run"].unique()
    first = points[points["seed"] == seeds[0]]
    first = first[first["run"] == first["run"].iloc[0]]
    if first["target"].nunique() != 1:
        raise ValueError(f"points: expected one target for each run, received {first['target'].nunique()}")
    note = f"n = {len(first)}"
    if len(seeds) > 1:
        note = f"seed {seeds[0]:g} of {len(seeds)}, {note}"
    elif len(runs) > 1:
        note = f"{first['run'].iloc[0]}, the first of {len(runs)}, {note}"
    axes.set_title(arm)
    placed = first[np.isfinite(first["x"]) & np.isfinite(first["y"])]
    if len(placed) < len(first):
        lost = f"{len(first) - len(placed)} of {len(first)} have no coordinates"
        axes.text(0.02, 0.02, lost, transform=axes.transAxes, fontsize=SMALL, color=MUTED)
    for kind in _LOOKS:
        group = placed[placed["kind"] == kind]
        if len(group):
            axes.plot(group["x"], group["y"], **_look(kind), gid=f"{kind}/{arm}")
    _write_names(axes, placed[placed["kind"].isin(["other", "target"])])
    axes.set_aspect("equal", adjustable="datalim")  # one unit is one unit in both directions, also after PCA
    axes.margins(0.06)
    axes.set(xticks=[], yticks=[])
    for spine in axes.spines.values():
        spine.set(visible=True, color="#CCCCCC")
    return note


def _write_names(axes: Axes, clean: pd.DataFrame) -> None:
    if clean["label"].nunique() > _MOST_NAMES:
        return
    halo = [effects.withStroke(linewidth=1.4 * scale(), foreground="white", alpha=0.85)]
    for name, group in clean.groupby("class_name"):
        where: dict[str, Any] = {"ha": "center", "va": "center", "fontsize": SMALL, "clip_on": True, "zorder": 5}
        axes.text(group["x"].median(), group["y"].median(), str(name), path_effects=halo, **where)


def _look(kind: str, share: float = 1.0) -> dict[str, Any]:
    marker, size, rest = _LOOKS[kind]
    return {"linestyle": "none", "marker": marker, "markersize": mark_size(size * share), **rest}


def legend(points: pd.DataFrame) -> list[Line2D]:
    """What the marks of the panels mean."""
    names = points.loc[points["label"] == points["target"], "class_name"].unique()
    target = f"clean, target class ({names[0]})" if len(names) == 1 and names[0] else "clean, target class"
    labels = {
        "target": target,
        "other": "clean, other classes",
        "hit": "triggered, hits",
        "miss": "triggered, no hits",
        "triggered-target": "triggered, target class",
    }
    present = set(points["kind"])
    return [Line2D([], [], **_look(kind, 1.3), label=label) for kind, label in labels.items() if kind in present]
