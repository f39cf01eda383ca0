"""Where clean and triggered images lie in a two-dimensional embedding of each arm's features."""

from typing import Any

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.lines import Line2D

from .canvas import empty_figure, panel_grid, settled
from .frames import arms_in_order, checked
from .style import MUTED, TWO_COLUMN, style

__all__ = ["embeddings"]

# Pale and without blue or vermilion, which belong to the target class and to the triggered images.
_CLASS_COLORS = (
    "#C9C9C9", "#A9CDB9", "#DCCB8F", "#CDB6D6", "#A3A3A3", "#B5D3DA", "#E2BFC6", "#BDB58A", "#8FA59B", "#D9D9EE",
)  # fmt: skip
_LOOKS: dict[str, dict[str, Any]] = {
    "target": {"marker": "o", "markersize": 2.4, "color": "#0072B2", "markeredgewidth": 0},
    "triggered-target": {"marker": "D", "markersize": 2.6, "markerfacecolor": "none", "markeredgecolor": "#0072B2"},
    "hit": {"marker": "^", "markersize": 3.4, "color": "#D55E00", "markeredgewidth": 0, "alpha": 0.75},
    "miss": {"marker": "^", "markersize": 3.4, "markerfacecolor": "none", "markeredgecolor": "black"},
}
_EDGES: dict[str, Any] = {"linestyle": "none", "markeredgewidth": 0.5}


def embeddings(points: pd.DataFrame, *, width: float = TWO_COLUMN) -> Figure:
    """One panel an arm: clean images pale by class, the target class in blue, triggered images as triangles.

    ``points`` has the columns run, arm, seed, image, label, class_name, triggered, target, hit, x, y. ``hit`` is true
    of a triggered image of another class that the evaluator sends to the target. Hits are filled, the others hollow.
    Of several seeds (or runs of a seed) the first is drawn, and the title reports it: coordinates of different runs are
    unrelated. More than ten other classes share one grey.
    """
    points, others, colors = prepared(points)
    arms = arms_in_order(points["arm"])
    rows, columns = panel_grid(len(arms), width, each=1.6, most=3)
    entries = legend(points, others, colors)
    legend_columns = max(1, min(len(entries), int(width / 1.3)))
    legend_height = 0.14 * -(-len(entries) // legend_columns) + 0.15
    with style():
        figure = empty_figure(width, rows * (min(width / columns, 2.4) + 0.2) + legend_height)
        grid = figure.subplots(rows, columns, squeeze=False)
        for axes, arm in zip(grid.flat, arms, strict=False):
            draw_arm(axes, points[points["arm"] == arm], arm, colors)
        for spare in grid.flat[len(arms) :]:
            spare.remove()
        figure.legend(handles=entries, loc="outside lower center", ncols=legend_columns)
        return settled(figure)


def prepared(points: pd.DataFrame) -> tuple[pd.DataFrame, pd.DataFrame, dict[float, str]]:
    """The points, checked, with their ``kind``; the other classes, label and name; and the colour of each of these."""
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
    points = points.assign(
        kind=np.select(
            [triggered & target, triggered & (points["hit"] == 1), triggered, target],
            ["triggered-target", "hit", "miss", "target"],
            "other",
        )
    )
    others = points.loc[points["kind"] == "other", ["label", "class_name"]]
    others = others.drop_duplicates("label").sort_values("label")
    if len(others) <= len(_CLASS_COLORS):
        colors = dict(zip(others["label"], _CLASS_COLORS, strict=False))
    else:
        colors = dict.fromkeys(others["label"], _CLASS_COLORS[0])
    return points, others, colors


def draw_arm(axes: Axes, points: pd.DataFrame, arm: str, colors: dict[float, str]) -> None:
    """One panel: the first run of the arm."""
    seeds = sorted(points["seed"].unique())
    runs = points["run"].unique()
    first = points[points["seed"] == seeds[0]]
    first = first[first["run"] == first["run"].iloc[0]]
    if first["target"].nunique() != 1:
        raise ValueError(f"points: expected one target for each run, received {first['target'].nunique()}")
    title = f"n = {len(first)}"
    if len(seeds) > 1:
        title = f"seed {seeds[0]:g}, the first of {len(seeds)}; {title}"
    elif len(runs) > 1:
        title = f"run {first['run'].iloc[0]}, the first of {len(runs)}; {title}"
    axes.set_title(f"{arm}\n{title}")

    placed = first[np.isfinite(first["x"]) & np.isfinite(first["y"])]
    if len(placed) < len(first):
        note = f"{len(first) - len(placed)} of {len(first)} have no coordinates"
        axes.text(0.02, 0.02, note, transform=axes.transAxes, fontsize=6, color=MUTED)
    for label, group in placed[placed["kind"] == "other"].groupby("label"):
        _dots(axes, group, f"other/{arm}/{label:g}", _clean(colors[label]))
    # The target class comes last: the figure shows whether it lies among the triggered images.
    for kind in ("miss", "hit", "triggered-target", "target"):
        _dots(axes, placed[placed["kind"] == kind], f"{kind}/{arm}", _LOOKS[kind])
    axes.set_aspect("equal", adjustable="datalim")  # one unit is one unit in both directions, also after PCA
    axes.margins(0.06)
    axes.set(xticks=[], yticks=[])
    for spine in axes.spines.values():
        spine.set(visible=True, color="#CCCCCC")


def _dots(axes: Axes, group: pd.DataFrame, gid: str, look: dict[str, Any]) -> None:
    if len(group):
        axes.plot(group["x"], group["y"], **{**_EDGES, **look}, gid=gid)


def _clean(color: str) -> dict[str, Any]:
    return {"marker": "o", "markersize": 2.2, "color": color, "markeredgewidth": 0}


def legend(points: pd.DataFrame, others: pd.DataFrame, colors: dict[float, str]) -> list[Line2D]:
    """What the marks of the panels mean."""
    present = set(points["kind"])
    names = points.loc[points["label"] == points["target"], "class_name"].unique()
    target = f"clean, target class ({names[0]})" if len(names) == 1 and names[0] else "clean, target class"
    labels = {
        "target": target,
        "triggered-target": "triggered, target class",
        "hit": "triggered, hits",
        "miss": "triggered, no hits",
    }
    entries = [
        Line2D([], [], **{**_EDGES, **_LOOKS[kind], "markersize": 4}, label=label)
        for kind, label in labels.items()
        if kind in present
    ]
    named = [(colors[label], f"clean: {name or format(label, 'g')}") for label, name in others.itertuples(index=False)]
    if len(set(colors.values())) < len(named):
        named = [(_CLASS_COLORS[0], f"clean, {len(named)} other classes")]
    return entries + [
        Line2D([], [], **{**_EDGES, **_clean(color), "markersize": 4}, label=name) for color, name in named
    ]
