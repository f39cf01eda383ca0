"""A result in one figure: where triggered images lie under each way of learning, and the readings of each."""

from collections.abc import Mapping, Sequence
from typing import Any

import pandas as pd
from matplotlib.figure import Figure

from .canvas import empty_figure, settled
from .embeddings import draw_arm, legend, prepared
from .readings import draw_measure, name_arms
from .readings import legend as legend_of_readings
from .readings import prepared as prepared_rows
from .style import TWO_COLUMN, style

__all__ = ["headline"]


def headline(
    points: pd.DataFrame,
    rows: pd.DataFrame,
    *,
    arms: Sequence[str],
    measures: Sequence[str],
    labels: Mapping[str, str] | None = None,
    width: float = TWO_COLUMN,
) -> Figure:
    """**a**: the embedding of each arm. **b**: readings of the same arms beside their references.

    ``points`` as in :func:`.embeddings`, ``rows`` and ``labels`` as in :func:`.readings`. Other arms are left out.
    """
    points, others, colours = prepared(points[points["arm"].isin(arms)])
    rows, looks, markers = prepared_rows(rows[rows["arm"].isin(arms)], measures)
    if absent := [arm for arm in arms if arm not in looks or arm not in set(points["arm"])]:
        raise ValueError(f"arms: expected arms in points and rows, received {', '.join(absent)}")
    entries = [*legend(points, others, colours), *legend_of_readings(rows, markers, labels)]
    narrow = width < 5
    maps, panels = [f"map{i}" for i in range(len(arms))], [f"panel{i}" for i in range(len(measures))]
    with style():
        layout: list[Any]
        if narrow:
            layout = [[name] for name in (*maps, *panels)]
            lines = 0.27 * len(looks) + 0.42
            heights = [1.5] * len(maps) + [lines] * len(panels)
            height = sum(heights) + 0.85
        else:
            layout = [[m for m in maps for _ in panels], [p for p in panels for _ in maps]]
            heights = [width / len(maps), 0.37 * len(looks) + 0.2]
            height = sum(heights) + 1.1
        figure = empty_figure(width, height)
        parts = figure.subplot_mosaic(layout, height_ratios=heights)
        for arm, name in zip(arms, maps, strict=True):
            draw_arm(parts[name], points[points["arm"] == arm], arm, colours)
        for measure, name in zip(measures, panels, strict=True):
            draw_measure(parts[name], rows[rows["measure"] == measure], measure, looks, markers, labels)
            name_arms(parts[name], looks)
            if name != panels[0] and not narrow:
                parts[name].set_yticklabels([])
        for letter, name in zip("ab", ("map0", "panel0"), strict=True):
            parts[name].text(
                -0.04, 1.05, letter, transform=parts[name].transAxes, fontweight="bold", ha="right", va="bottom"
            )
        figure.legend(handles=entries, loc="outside lower center", ncols=max(2, int(width / 1.4)))
        return settled(figure)
