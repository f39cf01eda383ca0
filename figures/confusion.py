"""Where triggered images go: one row an arm, one column a class, shares in the cells."""

from collections.abc import Mapping, Sequence

import numpy as np
import pandas as pd
from matplotlib.figure import Figure

from .canvas import empty_figure
from .frames import ROW_NUMBERS, ROW_TEXTS, arms_in_order, checked
from .style import TWO_COLUMN, style

__all__ = ["confusion"]

OWN = "own class"


def confusion(
    rows: pd.DataFrame,
    *,
    target: int,
    classes: Sequence[str],
    labels: Mapping[str, str] | None = None,
    width: float = TWO_COLUMN,
) -> Figure:
    """Shares of triggered images of other classes by the class that they are sent to, means over runs.

    The first column is the share that stays in its own class (R-Acc), the second the target. An attack that is not
    picked up leaves images in their own class, like the benign twin below it. One that lands elsewhere sends them to
    another class than the target.

    Args:
        rows: rows of the kind ``confusion``; ``x`` is the index of the class.
        target: index of the target class. classes: names by index.
    """
    rows = checked(rows, "rows", texts=ROW_TEXTS, numbers=(*ROW_NUMBERS, "x"))
    rows = rows[rows["measure"] == "confusion"]
    if rows.empty:
        raise ValueError("rows: expected rows of confusion, received none")
    others = [c for c in range(len(classes)) if c != target]
    lines, cells = [], []
    for arm in arms_in_order(rows["arm"]):
        for reference in ("", "benign"):
            of = rows[(rows["arm"] == arm) & (rows["reference"] == reference)]
            if of.empty:
                continue
            shares = of.groupby("x")["value"].mean().reindex(range(len(classes)), fill_value=0.0)
            lines.append(arm if not reference else "benign twin")
            cells.append([1 - shares.sum(), shares[target], *(shares[c] for c in others)])
    words = [OWN, f"{classes[target]} (target)", *(classes[c] for c in others)]
    with style():
        figure = empty_figure(width, 0.75 + 0.2 * len(lines))
        axes = figure.subplots()
        values = np.array(cells)
        axes.imshow(values, cmap="Blues", vmin=0, vmax=1, aspect="auto")
        for (i, j), value in np.ndenumerate(values):
            if value >= 0.005:
                axes.text(
                    j,
                    i,
                    f"{value:.2f}"[1:] if value < 0.995 else "1",
                    ha="center",
                    va="center",
                    fontsize=6,
                    color="white" if value > 0.6 else "black",
                )
        axes.set_xticks(range(len(words)), words, rotation=30, ha="right")
        axes.set_yticks(range(len(lines)), [(labels or {}).get(line, line) for line in lines])
        axes.axvline(1.5, color="#777777", linewidth=0.8)
        axes.tick_params(length=0)
        axes.set_xlabel("class that triggered images of other classes are sent to")
    return figure
