"""A heat map with a number in each cell, as several figures draw it."""

from collections.abc import Mapping
from typing import Any

import numpy as np
import pandas as pd
from matplotlib.axes import Axes

from .style import FAINT, MUTED, SMALL

__all__ = ["heat"]

SLANTED: dict[str, Any] = {"rotation": 35, "ha": "right", "rotation_mode": "anchor"}


def heat(
    axes: Axes,
    table: pd.DataFrame,
    text: pd.DataFrame,
    *,
    cmap: str,
    limits: tuple[float, float],
    gid: str,
    labels: Mapping[str, str] | None = None,
) -> None:
    """Draw ``table`` with ``text`` in its cells, first line on top; a cell without a value is a cross.

    labels: words for the names of lines and columns.
    """
    import seaborn as sns  # it imports pyplot, which other figures do without

    across, down = ([(labels or {}).get(name, name) for name in names] for names in (table.columns, table.index))
    sns.heatmap(
        table.astype(float), ax=axes, cmap=cmap, vmin=limits[0], vmax=limits[1], cbar=False, linewidths=0.5,
        linecolor="white", annot=text, fmt="", annot_kws={"fontsize": SMALL}, gid=gid, xticklabels=across,
        yticklabels=down,
    )  # fmt: skip
    empty_y, empty_x = np.nonzero(~np.isfinite(table.to_numpy(dtype=float)))
    for x, y in zip(empty_x, empty_y, strict=True):
        axes.text(x + 0.5, y + 0.5, "×", ha="center", va="center", fontsize=SMALL, color=MUTED)
    axes.set_xticks(axes.get_xticks(), across, **SLANTED)
    axes.set_yticks(axes.get_yticks(), down, rotation=0)
    axes.set(xlabel="", ylabel="", facecolor=FAINT)
    axes.tick_params(length=0)
    for spine in axes.spines.values():
        spine.set_visible(False)
