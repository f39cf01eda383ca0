"""Which layers hold the attack: ASR gained and lost with the weights of one layer."""

from collections.abc import Mapping, Sequence

import numpy as np
import pandas as pd
from matplotlib.figure import Figure
from matplotlib.lines import Line2D

from .canvas import empty_figure, panel_grid, settled
from .frames import arms_in_order, checked_rows, split
from .style import FAINT, TWO_COLUMN, arm_styles, hollow, in_words, marked, style

__all__ = ["transplants"]

MEASURES = ("transplant_gain", "transplant_loss")
CONTROL = "random-direction"


def transplants(
    rows: pd.DataFrame,
    *,
    layers: Sequence[str],
    labels: Mapping[str, str] | None = None,
    width: float = TWO_COLUMN,
) -> Figure:
    """Two panels: the share of the attack that moves with the weights of one layer.

    In the first the benign twin gains it with a layer of the poisoned encoder. In the second the poisoned encoder loses
    it with a layer of the twin. Means over runs, with bars from the lowest to the highest. Hollow: the layer moved as
    far in a random direction.

    ``rows``: the table of results; rows whose status is not "ok" are left out. Shares may lie outside [0, 1].
    ``labels``: words for measures and layers.
    """
    rows = checked_rows(rows)
    rows = split(rows[rows["measure"].isin(MEASURES) & rows["layer"].isin(layers)])[1]
    if rows.empty:
        raise ValueError(f"rows: expected rows of {' or '.join(MEASURES)} at {', '.join(layers)} with status ok")
    looks = arm_styles(arms_in_order(rows["arm"]))
    n_rows, n_columns = panel_grid(2, width, each=2.5, most=2)
    legend_columns = max(2, int(width / 1.3))
    entries = [
        *(Line2D([], [], linestyle="none", label=arm, **marked(look, 3.5)) for arm, look in looks.items()),
        Line2D([], [], **hollow(3.5), label="random direction"),
    ]
    with style():
        figure = empty_figure(width, n_rows * 1.7 + 0.15 * -(-len(entries) // legend_columns) + 0.2)
        grid = figure.subplots(n_rows, n_columns, squeeze=False, sharex=True, sharey=True)
        for axes, measure in zip(grid.flat, MEASURES, strict=True):
            axes.axhline(0, color=FAINT, linewidth=0.7, zorder=0)
            axes.axhline(1, color=FAINT, linewidth=0.7, zorder=0)
            for place, (arm, look) in enumerate(looks.items()):
                offset = 0.75 * ((place + 0.5) / len(looks) - 0.5)
                for reference in ("", CONTROL):
                    chosen = rows[
                        (rows["arm"] == arm) & (rows["measure"] == measure) & (rows["reference"] == reference)
                    ]
                    over = chosen.groupby("layer")["value"].agg(["mean", "min", "max"]).reindex(list(layers))
                    x = np.arange(len(layers)) + offset + (0.35 / len(looks) if reference else 0)
                    face = "white" if reference else look.color
                    size = 2.2 if reference else 3.5
                    axes.vlines(x, over["min"], over["max"], color=look.color, linewidth=0.5 if reference else 0.9)
                    axes.plot(
                        x, over["mean"], linestyle="none", color=look.color, marker=look.marker, markersize=size,
                        markerfacecolor=face, markeredgewidth=0.6, gid=f"{reference or measure}/{arm}/{measure}",
                    )  # fmt: skip
            axes.set_title(in_words(measure, labels), loc="left")
            axes.locator_params(axis="y", nbins=5)
        grid[0, 0].set_xlim(-0.5, len(layers) - 0.5)
        grid[0, 0].set_xticks(range(len(layers)), [(labels or {}).get(layer, layer) for layer in layers])
        for axes in grid[:, 0]:
            axes.set_ylabel("share of the attack")
        figure.legend(handles=entries, loc="outside lower center", ncols=legend_columns)
        return settled(figure)
