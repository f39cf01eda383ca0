"""What a mitigation changes: arrows from entanglement and ASR before it to those after it."""

import numpy as np
import pandas as pd
from matplotlib.figure import Figure
from matplotlib.lines import Line2D

from .canvas import empty_figure, panel_grid, settled
from .frames import arms_in_order, checked
from .style import FAINT, TWO_COLUMN, arm_styles, marked, style

__all__ = ["arrows"]

SHORTEST = 0.05
NUMBERS = ("seed", "before_x", "before_y", "x", "y")


def arrows(moves: pd.DataFrame, *, x_label: str, y_label: str, width: float = TWO_COLUMN) -> Figure:
    """One panel a defence and one arrow an arm, from the mean over seeds before (marker) to the mean after (head).

    Arrows shorter than .05 have no head. Thin lines are single seeds. A seed that lacks one of the four numbers is left
    out. A panel without any seed reads "no value".

    ``moves``: columns defence, arm, seed, before_x, before_y, x, y.
    """
    moves = checked(moves, "moves", texts=("defence", "arm"), numbers=NUMBERS)
    names = list(dict.fromkeys(moves["defence"]))
    whole = moves[np.isfinite(moves[list(NUMBERS)]).all(axis=1)]
    looks = arm_styles(arms_in_order(moves["arm"]))
    n_rows, n_columns = panel_grid(len(names), width, each=1.25, most=5)
    legend_columns = max(2, int(width / 1.3))
    entries = [Line2D([], [], linestyle="none", label=arm, **marked(look, 3.5)) for arm, look in looks.items()]
    with style():
        figure = empty_figure(
            width, n_rows * (0.9 if n_columns < 3 else 1.2) + 0.15 * -(-len(entries) // legend_columns) + 0.3
        )
        grid = figure.subplots(n_rows, n_columns, squeeze=False, sharex=True, sharey=True)
        for position, (axes, name) in enumerate(zip(grid.flat, names, strict=False)):
            axes.axhline(0, color=FAINT, linewidth=0.7, zorder=0)
            own = whole[whole["defence"] == name]
            for arm, look in looks.items():
                seeds = own[own["arm"] == arm]
                if seeds.empty:
                    continue
                for _, line in seeds.iterrows():
                    axes.plot(
                        [line["before_x"], line["x"]], [line["before_y"], line["y"]], color=look.color, linewidth=0.4,
                        alpha=0.5,
                    )  # fmt: skip
                start, end = (seeds[[f"{when}x", f"{when}y"]].mean().tolist() for when in ("before_", ""))
                axes.plot(*start, **marked(look, 3.5), gid=f"before/{arm}/{name}")
                axes.plot(*end, color=look.color, marker=".", markersize=1, gid=f"after/{arm}/{name}")
                if np.hypot(end[0] - start[0], end[1] - start[1]) < SHORTEST:
                    continue  # a head as long as its arrow points nowhere
                axes.annotate(
                    "", xy=end, xytext=start,
                    arrowprops={"arrowstyle": "-|>", "color": look.color, "linewidth": 1.0, "shrinkA": 0, "shrinkB": 0,
                                "mutation_scale": 6},
                )  # fmt: skip
            if own.empty:
                axes.text(0.5, 0.5, "no value", ha="center", va="center", transform=axes.transAxes, fontsize=5.5)
            axes.set_title(name, loc="left")
            if position + n_columns >= len(names):
                axes.tick_params(labelbottom=True)
                axes.set_xlabel(x_label)
        for spare in grid.flat[len(names) :]:
            spare.remove()
        grid[0, 0].set_ylim(-0.05, 1.05)
        grid[0, 0].set_yticks([0, 0.5, 1])
        grid[0, 0].locator_params(axis="x", nbins=4)
        for axes in grid[:, 0]:
            axes.set_ylabel(y_label)
        figure.legend(handles=entries, loc="outside lower center", ncols=legend_columns)
        return settled(figure)
