"""One panel each: the readings of one encoder between their two ends, and the map of its images."""

from collections.abc import Mapping

import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from .canvas import small_multiples
from .frames import checked, checked_rows
from .style import ROLES, default_width, in_words, scale

__all__ = ["image_map", "image_maps", "reading_strips"]

NAMES = {"other": "clean, other classes", "target": "clean, target class", "misses": "triggered, no hits"}
NAMES |= {"hits": "triggered, hits"}


def reading_strips(
    rows: pd.DataFrame, *, labels: Mapping[str, str] | None = None, width: float | None = None, ax: Axes | None = None
) -> Figure:
    """Each reading on a line from *apart* (0) to *together* (1) of its own encoder, with its interval.

    A grey tick is the benign twin. A reading without both ends has no place on the line, and is left out.

    Args:
        rows: the rows of one reading a measure with its references. labels: words for measures.
        ax: draw here; by default into a new figure.
    """
    rows = checked_rows(rows)
    names = [
        m for m in dict.fromkeys(rows["measure"]) if {"", "apart", "together"} <= set(rows[rows.measure == m].reference)
    ]
    panels = small_multiples(1, each=2, height=0.25 * max(1, len(names)) + 0.5, width=width, ax=ax)
    (axes,) = panels.axes
    for line, name in enumerate(names):
        own = rows[rows["measure"] == name].drop_duplicates("reference").set_index("reference")
        low, high = own.loc["apart", "value"], own.loc["together", "value"]

        def place(value: float, low: float = low, high: float = high) -> float:
            return (value - low) / (high - low) if high != low else float("nan")

        axes.plot([0, 1], [line, line], color="#DDDDDD", linewidth=3, zorder=0, solid_capstyle="butt")
        ends = [place(own.loc["", end]) for end in ("ci_low", "ci_high")]
        axes.plot(ends, [line, line], color="black", linewidth=1)
        good = own.loc["", "status"] == "ok"
        axes.plot(place(own.loc["", "value"]), line, "o", color="black", markerfacecolor="black" if good else "white")
        if "benign" in own.index:
            axes.plot(place(own.loc["benign", "value"]), line, "|", color="#777777", markersize=9)
    axes.set_yticks(range(len(names)), [in_words(name, labels) for name in names])
    axes.set_xticks([0, 1], ["apart", "together"])
    axes.set(ylim=(max(1, len(names)) - 0.5, -0.5), xlim=(-0.6, 1.6))
    return panels.finished()


def image_map(points: pd.DataFrame, *, width: float | None = None, ax: Axes | None = None) -> Figure:
    """Where the images of one encoder lie in an embedding: other classes grey, the target class, triggered, hits.

    Args:
        points: columns label, triggered, target, hit, x, y.
        ax: draw here; by default into a new figure.
    """
    import seaborn as sns  # it imports pyplot, which other figures do without

    points = checked(points, "points", texts=(), numbers=("label", "triggered", "target", "hit", "x", "y"))
    kind = pd.Series("other", index=points.index)
    kind[points["label"] == points["target"]] = "target"
    kind[points["triggered"] == 1] = "misses"
    kind[(points["triggered"] == 1) & (points["hit"] == 1)] = "hits"
    shown = points.assign(kind=kind.map(NAMES))
    present = [name for name in NAMES.values() if name in set(shown["kind"])]
    palette = {name: ROLES[kind] for kind, name in NAMES.items()}
    wide = default_width() if width is None else width
    panels = small_multiples(1, each=2, height=min(wide, 4.0) / scale(), width=wide, ax=ax)
    (axes,) = panels.axes
    shown = shown.sort_values("kind", key=lambda k: k.map({name: i for i, name in enumerate(NAMES.values())}))
    sns.scatterplot(
        shown, x="x", y="y", hue="kind", hue_order=present, palette=palette, s=6, linewidth=0, alpha=0.7, ax=axes
    )
    axes.set(xticks=[], yticks=[], xlabel="", ylabel="")
    axes.set_aspect("equal", adjustable="datalim")
    axes.legend(title=None, loc="upper center", bbox_to_anchor=(0.5, 0), ncols=2)
    return panels.finished()


def image_maps(points: pd.DataFrame, *, width: float | None = None) -> Figure:
    """:func:`image_map` of each encoder, side by side. ``points`` has the column encoder, too."""
    names = list(dict.fromkeys(points["encoder"]))
    panels = small_multiples(len(names), each=2, height=3, width=width, sharex=False, sharey=False)
    for axes, name in zip(panels.axes, names, strict=True):
        image_map(points[points["encoder"] == name].reset_index(drop=True), ax=axes)
        axes.set_title(name)
    return panels.finished()
