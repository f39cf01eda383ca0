"""Interference during training: a map of layers against epochs for each arm."""

from collections.abc import Mapping, Sequence
from dataclasses import replace

import numpy as np
import pandas as pd
from matplotlib.cm import ScalarMappable
from matplotlib.colors import Normalize
from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator

from .canvas import small_multiples
from .frames import ROW_NUMBERS, ROW_TEXTS, arms_in_order, checked
from .style import NOTE, mark_size

__all__ = ["alignment_map"]

COLOURS = "PuOr"


def alignment_map(
    rows: pd.DataFrame,
    *,
    layers: Sequence[str],
    measure: str = "interference",
    labels: Mapping[str, str] | None = None,
    differences: bool = True,
    width: float | None = None,
) -> Figure:
    """Mean over runs of a corrected cosine, layers (deepest on top) against the epochs of the snapshots.

    Two panels an arm: the readings, and their difference to the benign twin's, run by run; arms without a twin have one
    panel. A column is as wide as its epoch is far from the others. Colours end at the 98th percentile of what is drawn.
    A cross marks a cell in which no run has gradients that differ from noise. Runs with the status ``too_few_hits`` or
    ``not_evaluable`` count: early in training there is no backdoor yet.

    Args:
        rows: the table of results; readings and benign twins of ``measure`` are used.
        labels: words for the measure and for layers.
        differences: whether to draw the differences.
    """
    rows = checked(rows, "rows", texts=ROW_TEXTS, numbers=(*ROW_NUMBERS, "epoch"))
    rows = rows[(rows["measure"] == measure) & rows["layer"].isin(layers) & rows["reference"].isin(["", "benign"])]
    if rows.empty:
        raise ValueError(f"rows: expected rows of {measure} at {', '.join(layers)}, received none")
    followed = rows.groupby("arm")["epoch"].transform("nunique") > 1
    rows = rows[followed] if followed.any() else rows  # arms that were measured at the end only make no map
    epochs = sorted(rows["epoch"].unique())
    pairs: list[tuple[str, np.ndarray]] = []
    alone: list[tuple[str, np.ndarray]] = []
    arms = arms_in_order(rows["arm"])
    most = 2 if differences and len(arms) % 2 else 4  # so that an arm and its difference are not torn apart
    for arm in arms:
        of_arm = rows[rows["arm"] == arm]
        own, benign = (_by_run(of_arm[of_arm["reference"] == r]) for r in ("", "benign"))
        own_cells = (arm, _cells(own, layers, epochs))
        if differences and len(benign):
            title = "minus its benign twin" if len(pairs) < most else ""  # once for each column
            pairs += [own_cells, (title, _cells(own - benign, layers, epochs))]
        else:
            alone.append(own_cells)
    drawn = pairs + alone
    panels = small_multiples(len(drawn), each=1.35, height=0.45 + 0.14 * len(layers), width=width, most=most)
    norm = _limits([cells for _, cells in drawn])
    edges, names = _edges(epochs), [(labels or {}).get(layer, layer) for layer in layers]
    for axes, (title, cells) in zip(panels.axes, drawn, strict=True):
        axes.pcolormesh(edges, np.arange(len(layers) + 1), cells, cmap=COLOURS, norm=norm, gid=f"map/{title}")
        empty_y, empty_x = np.nonzero(~np.isfinite(cells))
        axes.plot(np.array(epochs)[empty_x], empty_y + 0.5, "x", color=NOTE, markersize=mark_size(0.6), mew=0.5)
        axes.set_title(title)
        axes.set(xlim=(edges[0], edges[-1]), ylim=(0, len(layers)))
        axes.locator_params(axis="x", nbins=5, integer=True)
        axes.set_yticks(np.arange(len(layers)) + 0.5, names)
        axes.tick_params(axis="y", length=0)
    replace(panels, under=True).name(x="epoch")  # the colour bar is under them
    bar = panels.figure.colorbar(
        ScalarMappable(norm, COLOURS),
        ax=panels.axes,
        location="bottom",
        shrink=0.45,
        aspect=35,
        extend="both",
        ticks=MaxNLocator(5),
    )
    bar.set_label((labels or {}).get(measure, measure) + " (corrected cosine)")
    bar.outline.set_visible(False)
    return panels.finished()


def _by_run(rows: pd.DataFrame) -> "pd.Series[float]":
    """The values by run, layer and epoch whose gradients differ from noise: these can be subtracted run by run."""
    estimated = np.isfinite(rows["value"]) & rows["status"].isin(["ok", "too_few_hits", "not_evaluable"])
    return rows[estimated].groupby(["run", "layer", "epoch"])["value"].mean()


def _cells(values: "pd.Series[float]", layers: Sequence[str], epochs: Sequence[float]) -> np.ndarray:
    """Mean over the runs that have a value, ``(layers, epochs)``, NaN where none has."""
    table = values.groupby(level=["layer", "epoch"]).mean().unstack("epoch")
    return table.reindex(index=list(layers), columns=list(epochs)).to_numpy(dtype=float)


def _edges(epochs: Sequence[float]) -> np.ndarray:
    """Borders of the columns: halfway between two epochs, and as far beyond the first and the last."""
    if len(epochs) == 1:
        return np.array([epochs[0] - 0.5, epochs[0] + 0.5])
    middles = (np.array(epochs[1:]) + np.array(epochs[:-1])) / 2
    return np.array([2 * epochs[0] - middles[0], *middles, 2 * epochs[-1] - middles[-1]])


def _limits(cells: Sequence[np.ndarray]) -> Normalize:
    """Alike on both sides of 0, up to the 98th percentile, and a tenth at least."""
    sizes = np.abs(np.concatenate([c.ravel() for c in cells]))
    sizes = sizes[np.isfinite(sizes)]
    top = max(0.1, float(np.ceil(np.quantile(sizes, 0.98) * 20) / 20)) if len(sizes) else 1.0
    return Normalize(-top, top)
