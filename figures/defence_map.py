"""Every defence on every arm: the ASR that is left, the ACC that is lost, the AUROC of detectors."""

from collections.abc import Mapping

import numpy as np
import pandas as pd
from matplotlib.figure import Figure

from .canvas import empty_figure, panel_grid, settled
from .frames import arms_in_order, checked
from .style import FAINT, MUTED, NOTE, TWO_COLUMN, style

__all__ = ["defence_map"]

SCALES: dict[str, tuple[str, float, float]] = {
    "asr": ("Oranges", 0.0, 1.0),
    "acc_lost": ("Purples", 0.0, 0.3),
    "auroc": ("RdYlBu", 0.0, 1.0),
}
"""Measure → colours and the values at their ends. Dark orange: the attack is still there. Red: the detector is misled.
Pale yellow: the detector is no better than chance."""


def defence_map(outcomes: pd.DataFrame, *, titles: Mapping[str, str], width: float = TWO_COLUMN) -> Figure:
    """One panel a measure, one line a defence, one column an arm: the mean over seeds as colour and as number.

    Args:
        outcomes: columns defence, arm, measure (of ``titles``), seed, value. Defences keep the order of the rows. A
            cell without a value is a cross.
        titles: measure → title. Measures are ``asr``, ``acc_lost`` and ``auroc``.
    """
    outcomes = checked(outcomes, "outcomes", texts=("defence", "arm", "measure"), numbers=("seed", "value"))
    if unknown := [measure for measure in titles if measure not in SCALES]:
        raise ValueError(f"titles: expected measures of {', '.join(SCALES)}, received {', '.join(unknown)}")
    arms = arms_in_order(outcomes["arm"])
    tables = {
        measure: own.pivot_table(index="defence", columns="arm", values="value", sort=False, dropna=False).reindex(
            index=list(dict.fromkeys(own["defence"])), columns=arms
        )
        for measure in titles
        for own in [outcomes[outcomes["measure"] == measure]]
        if len(own)
    }
    n_rows, n_columns = panel_grid(len(tables), width, each=2.1, most=3)
    # Beside each other as high as the longest; below each other as high as each needs, or they outgrow the page.
    lines = [max(map(len, tables.values()))] * n_rows if n_columns > 1 else [len(table) for table in tables.values()]
    with style():
        figure = empty_figure(width, 0.9 * n_rows + 0.15 * sum(lines))
        grid = figure.subplots(n_rows, n_columns, squeeze=False, height_ratios=lines)
        for axes, (measure, table) in zip(grid.flat, tables.items(), strict=False):
            colours, low, high = SCALES[measure]
            image = axes.pcolormesh(
                table.to_numpy(dtype=float), cmap=colours, vmin=low, vmax=high, edgecolors="white", linewidth=0.6,
                gid=f"map/{measure}", rasterized=False,
            )  # fmt: skip
            for y, row in enumerate(table.to_numpy(dtype=float)):
                for x, value in enumerate(row):
                    shown = f"{value:.2f}".replace("-0.00", "0.00") if np.isfinite(value) else "×"
                    shade = image.norm(value) if np.isfinite(value) else 0.0
                    dark = (shade > 0.6) if measure != "auroc" else (shade < 0.15 or shade > 0.85)
                    colour = MUTED if not np.isfinite(value) else "white" if dark else "#333333"
                    axes.text(x + 0.5, y + 0.5, shown, ha="center", va="center", fontsize=5.5, color=colour)
            axes.set_title(titles[measure], loc="left")
            axes.set_yticks(np.arange(len(table)) + 0.5, list(table.index))
            axes.set_xticks(np.arange(len(arms)) + 0.5, arms, rotation=35, ha="right", rotation_mode="anchor")
            axes.set_ylim(len(table), 0)
            axes.set_facecolor(FAINT)
            axes.tick_params(length=0)
            for spine in axes.spines.values():
                spine.set_visible(False)
        for spare in grid.flat[len(tables) :]:
            spare.remove()
        seeds = outcomes.dropna(subset=["value"]).groupby(["measure", "defence", "arm"])["seed"].nunique()
        low, high = int(seeds.min()), int(seeds.max())
        note = f"{low} to {high} seeds a cell" if low < high else f"{high} seed{'s' * (high > 1)}"
        figure.text(0.995, 0.005, note, ha="right", va="bottom", fontsize=5.5, color=NOTE)
        return settled(figure)
