"""Where triggered images go: one row an arm, one column a class, shares in the cells."""

from collections.abc import Mapping, Sequence

import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from .canvas import small_multiples
from .frames import ROW_NUMBERS, ROW_TEXTS, arms_in_order, checked, seeds_note
from .heat import heat

__all__ = ["confusion"]

OWN = "own class"
_TWIN = "benign twin"


def confusion(
    rows: pd.DataFrame,
    *,
    target: int,
    classes: Sequence[str],
    labels: Mapping[str, str] | None = None,
    width: float | None = None,
    ax: Axes | None = None,
) -> Figure:
    """Shares of triggered images of other classes by the class that they are sent to, means over runs.

    The first column is the share that stays in its own class (R-Acc), the second the target. An attack that is not
    picked up leaves images in their own class, like the benign twin below it. One that lands elsewhere sends them to
    another class than the target.

    Args:
        rows: rows of the kind ``confusion``; ``x`` is the index of the class.
        target: index of the target class. classes: names by index.
        ax: draw here.
    """
    rows = checked(rows, "rows", texts=ROW_TEXTS, numbers=(*ROW_NUMBERS, "x"))
    rows = rows[rows["measure"] == "confusion"]
    if rows.empty:
        raise ValueError("rows: expected rows of confusion, received none")
    others = [c for c in range(len(classes)) if c != target]
    columns = [OWN, f"{classes[target]} (target)", *(classes[c] for c in others)]
    names, cells = [], []
    for arm in arms_in_order(rows["arm"]):
        for reference, name in (("", arm), ("benign", _TWIN)):
            of = rows[(rows["arm"] == arm) & (rows["reference"] == reference)]
            if len(of):
                shares = of.groupby("x")["value"].mean().reindex(range(len(classes)), fill_value=0.0)
                names.append((labels or {}).get(name, name))
                cells.append([1 - shares.sum(), shares[target], *(shares[c] for c in others)])
    table = pd.DataFrame(cells, columns=columns)
    text = table.map(lambda value: "" if value < 0.005 else "1" if value >= 0.995 else f"{value:.2f}"[1:])
    panels = small_multiples(1, each=2, height=0.75 + 0.19 * len(names), width=width, ax=ax)
    (axes,) = panels.axes
    heat(axes, table, text, cmap="Blues", limits=(0, 1), gid="confusion")
    axes.set_yticks(axes.get_yticks(), names, rotation=0)
    axes.axvline(2, color="#777777", linewidth=0.8)
    seeds = rows[rows["reference"] == ""].groupby("arm")["run"].nunique()
    axes.set_xlabel(f"predicted class ({seeds_note(seeds)})")
    return panels.finished()
