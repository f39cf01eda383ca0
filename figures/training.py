"""Interference during training: a map of layers against epochs for each arm."""

from collections.abc import Mapping, Sequence

import numpy as np
import pandas as pd
from matplotlib.cm import ScalarMappable
from matplotlib.colors import Normalize
from matplotlib.figure import Figure

from .canvas import empty_figure, settled
from .frames import ROW_NUMBERS, ROW_TEXTS, arms_in_order, checked
from .style import NOTE, TWO_COLUMN, style

__all__ = ["alignment_map"]

COLOURS, SCALE = "PuOr", Normalize(-1, 1)


def alignment_map(
    rows: pd.DataFrame,
    *,
    layers: Sequence[str],
    measure: str = "interference",
    labels: Mapping[str, str] | None = None,
    width: float = TWO_COLUMN,
) -> Figure:
    """Mean over runs of a corrected cosine, layers (deepest on top) against the epochs of the snapshots.

    Two panels an arm: the readings, and their difference to the benign twin's, run by run. A cross marks a cell in
    which no run has gradients that differ from noise. Runs with the status ``too_few_hits`` or ``not_evaluable`` count:
    early in training there is no backdoor yet.

    ``rows``: the table of results; readings and benign twins of ``measure`` are used. ``labels``: words for layers.
    """
    rows = checked(rows, "rows", texts=ROW_TEXTS, numbers=(*ROW_NUMBERS, "epoch"))
    rows = rows[(rows["measure"] == measure) & rows["layer"].isin(layers) & rows["reference"].isin(["", "benign"])]
    if rows.empty:
        raise ValueError(f"rows: expected rows of {measure} at {', '.join(layers)}, received none")
    followed = rows.groupby("arm")["epoch"].transform("nunique") > 1
    rows = rows[followed] if followed.any() else rows  # arms that were measured at the end only make no map
    epochs = sorted(rows["epoch"].unique())
    panels = []
    for arm in arms_in_order(rows["arm"]):
        of_arm = rows[rows["arm"] == arm]
        own, benign = (_by_run(of_arm[of_arm["reference"] == r]) for r in ("", "benign"))
        panels += [(arm, _cells(own, layers, epochs)), ("minus benign twin", _cells(own - benign, layers, epochs))]
    n_columns = 4 if width >= 5 and len(panels) > 2 else 2
    n_rows = -(-len(panels) // n_columns)
    with style():
        figure = empty_figure(width, 0.5 + n_rows * (0.45 + 0.14 * len(layers)))
        grid = figure.subplots(n_rows, n_columns, squeeze=False, sharex=True, sharey=True)
        for position, (axes, (title, cells)) in enumerate(zip(grid.flat, panels, strict=False)):
            axes.imshow(cells[::-1], cmap=COLOURS, norm=SCALE, aspect="auto", interpolation="nearest")
            empty_y, empty_x = np.nonzero(~np.isfinite(cells[::-1]))
            axes.plot(empty_x, empty_y, "x", color=NOTE, markersize=2.2, markeredgewidth=0.5)
            axes.set_title(title, loc="left")
            step = max(1, len(epochs) // 5)
            axes.set_xticks(range(0, len(epochs), step), [f"{e:g}" for e in epochs[::step]])
            axes.set_yticks(range(len(layers)), [(labels or {}).get(layer, layer) for layer in layers][::-1])
            if position + n_columns >= len(panels):
                axes.tick_params(labelbottom=True)
                axes.set_xlabel("epoch")
        for spare in grid.flat[len(panels) :]:
            spare.remove()
        bar = figure.colorbar(
            ScalarMappable(SCALE, COLOURS), ax=list(grid.flat[: len(panels)]), shrink=0.8, aspect=30, pad=0.01
        )
        bar.set_label("alignment (corrected cosine)")
        bar.outline.set_visible(False)
        return settled(figure)


def _by_run(rows: pd.DataFrame) -> "pd.Series[float]":
    """The values by run, layer and epoch whose gradients differ from noise: these can be subtracted run by run."""
    estimated = np.isfinite(rows["value"]) & rows["status"].isin(["ok", "too_few_hits", "not_evaluable"])
    return rows[estimated].groupby(["run", "layer", "epoch"])["value"].mean()


def _cells(values: "pd.Series[float]", layers: Sequence[str], epochs: Sequence[float]) -> np.ndarray:
    """Mean over the runs that have a value, ``(layers, epochs)``, NaN where none has."""
    table = values.groupby(level=["layer", "epoch"]).mean().unstack("epoch")
    return table.reindex(index=list(layers), columns=list(epochs)).to_numpy(dtype=float)
