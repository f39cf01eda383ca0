"""Two ways of learning in one figure: maps of images, spectra, agreement of layers, and interference."""

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.lines import Line2D

from .alignment import chosen, limits
from .alignment import draw_arm as draw_alignment
from .canvas import empty_figure, settled
from .embeddings import draw_arm as draw_map
from .embeddings import legend, prepared
from .frames import checked
from .style import FAINT, NOTE, TWO_COLUMN, ArmStyle, arm_styles, marked, style

__all__ = ["geometry"]

SLANTED: dict[str, Any] = {"rotation": 35, "ha": "right", "rotation_mode": "anchor"}


def geometry(
    points: pd.DataFrame,
    spectra: pd.DataFrame,
    cka: pd.DataFrame,
    rows: pd.DataFrame,
    *,
    arms: tuple[str, str],
    labels: Mapping[str, str] | None = None,
    width: float = TWO_COLUMN,
) -> Figure:
    """Four parts that compare two arms, such as a supervised and a contrastive one.

    **a**: the embeddings of both. **b**: their spectra, the share of variance by component at the encoder's output;
    thin lines are single runs, thick ones their geometric mean. **c**: CKA of every layer of one with every layer of
    the other. **d**: interference by layer, with the benign twin dashed.

    Args:
        points: as in :func:`.embeddings`.
        spectra: columns arm, run, component (from 1), share.
        cka: columns layer (of the first arm), other_layer (of the second), value; the mean over runs is drawn.
        rows, labels: as in :func:`.alignment`.
    """
    spectra = checked(spectra, "spectra", texts=("arm", "run"), numbers=("component", "share"))
    cka = _checked_cka(cka)
    points, others, colours = prepared(points)
    layers = list(dict.fromkeys(cka["layer"]))
    drawn = rows["arm"].isin(arms) & rows["reference"].isin(["", "benign"])  # others must not widen the axis
    rows = chosen(rows[drawn], [name for name in layers if name in set(rows["layer"])])
    looks = arm_styles(arms)
    narrow = width < 5
    with style():
        figure = empty_figure(width, 8.2 if narrow else 4.9)
        parts = figure.subplot_mosaic(
            [["map0", "map1"], ["spectra", "spectra"], ["cka", "cka"], ["aligned0", "aligned1"]]
            if narrow
            else [["map0", "map1", "spectra"], ["cka", "aligned0", "aligned1"]]
        )
        for i, arm in enumerate(arms):
            draw_map(parts[f"map{i}"], points[points["arm"] == arm], arm, colours)
        _spectra(parts["spectra"], spectra[spectra["arm"].isin(arms)], looks)
        _matrix(parts["cka"], cka, arms, labels or {})
        _alignments(parts, rows, arms, looks, labels or {})
        for letter, name in zip("abcd", ("map0", "spectra", "cka", "aligned0"), strict=True):
            parts[name].text(
                -0.08, 1.03, letter, transform=parts[name].transAxes, fontweight="bold", ha="right", va="bottom"
            )
        entries = legend(points[points["arm"].isin(arms)], others, colours)
        entries += [Line2D([], [], label=arm, **marked(look, 3.5)) for arm, look in looks.items()]
        entries += [Line2D([], [], color=NOTE, linestyle="--", label="its benign twin")]
        figure.legend(handles=entries, loc="outside lower center", ncols=max(2, int(width / 1.5)))
        return settled(figure)


def _checked_cka(cka: pd.DataFrame) -> pd.DataFrame:
    missing = [name for name in ("layer", "other_layer", "value") if name not in cka.columns]
    if missing or cka.empty:
        raise ValueError(f"cka: expected the columns layer, other_layer, value and at least one row; missing {missing}")
    return cka


def _spectra(axes: Axes, spectra: pd.DataFrame, looks: dict[str, ArmStyle]) -> None:
    for arm, look in looks.items():
        own = spectra[(spectra["arm"] == arm) & (spectra["share"] > 0)]
        for _, run in own.groupby("run"):
            axes.plot(run["component"], run["share"], color=look.color, linewidth=0.4, alpha=0.6)
        mean = np.exp(np.log(own["share"]).groupby(own["component"]).mean())
        axes.plot(mean.index, mean, color=look.color, linewidth=1.4, gid=f"spectrum/{arm}")
    axes.set(xscale="log", yscale="log", xlabel="component", ylabel="share of variance")
    axes.set_title("spectra at the output", loc="left")


def _matrix(axes: Axes, cka: pd.DataFrame, arms: tuple[str, str], labels: Mapping[str, str]) -> None:
    table = cka.pivot_table(index="layer", columns="other_layer", values="value", sort=False)
    axes.pcolormesh(table.to_numpy(), cmap="Blues", vmin=0, vmax=1, edgecolors="white", linewidth=0.6, gid="cka")
    for y, row in enumerate(table.to_numpy()):
        for x, value in enumerate(row):
            colour = "white" if value > 0.6 else "#333333"
            shown = f"{value:.2f}".replace("-0.00", "0.00")
            axes.text(x + 0.5, y + 0.5, shown, ha="center", va="center", fontsize=5.5, color=colour)
    across, down = ([labels.get(layer, layer) for layer in names] for names in (table.columns, table.index))
    axes.set_xticks(np.arange(table.shape[1]) + 0.5, across, **SLANTED)
    axes.set_yticks(np.arange(table.shape[0]) + 0.5, down)
    axes.set(xlabel=arms[1], ylabel=arms[0])
    axes.set_facecolor(FAINT)
    axes.tick_params(length=0)
    axes.set_title("CKA (debiased)", loc="left")


def _alignments(
    parts: dict[str, Axes],
    rows: pd.DataFrame,
    arms: Sequence[str],
    looks: dict[str, ArmStyle],
    labels: Mapping[str, str],
) -> None:
    layers = list(dict.fromkeys(rows["layer"]))
    for i, arm in enumerate(arms):
        axes = parts[f"aligned{i}"]
        axes.set(xlim=(-0.5, len(layers) - 0.5), ylim=limits(rows))
        axes.locator_params(axis="y", nbins=6)
        axes.set_xticks(range(len(layers)), [labels.get(layer, layer) for layer in layers], **SLANTED)
        draw_alignment(axes, rows[rows["arm"] == arm], arm, looks[arm], ["", "benign"], layers, labels)
    parts["aligned0"].set_ylabel("interference")
