"""Two ways of learning in one figure: maps of images, spectra, agreement of layers, and interference."""

from collections.abc import Mapping
from typing import Any

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.lines import Line2D

from .alignment import chosen, limits, name_layers
from .alignment import draw_arm as draw_alignment
from .canvas import empty_figure, legend_below, settled
from .embeddings import draw_arm as draw_map
from .embeddings import legend, prepared
from .frames import checked
from .style import FAINT, NOTE, SMALL, ArmStyle, arm_styles, default_width, line_width, marked, number, scale

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
    width: float | None = None,
) -> Figure:
    """Four parts that compare two arms, such as a supervised and a contrastive one.

    **a**: the embeddings of both. **b**: CKA of every layer of one with every layer of the other. **c**: interference
    by layer, with the benign twin dashed. **d**: their spectra, the share of variance by component at the encoder's
    output; thin lines are single runs, thick ones their geometric mean. A narrow figure has no **d**.

    Args:
        points: as in :func:`.embeddings`.
        spectra: columns arm, run, component (from 1), share.
        cka: columns layer (of the first arm), other_layer (of the second), value; the mean over runs is drawn.
        rows, labels: as in :func:`.alignment`.
    """
    spectra = checked(spectra, "spectra", texts=("arm", "run"), numbers=("component", "share"))
    cka = _checked_cka(cka)
    points = prepared(points)
    points = points[points["arm"].isin(arms)]
    layers = list(dict.fromkeys(cka["layer"]))
    drawn = rows["arm"].isin(arms) & rows["reference"].isin(["", "benign"])  # others must not widen the axis
    rows = chosen(rows[drawn], [name for name in layers if name in set(rows["layer"])])
    looks = arm_styles(arms)
    width = default_width() if width is None else width
    narrow = width < 5 * scale()
    figure = empty_figure(width, (6.4 if narrow else 4.6) * scale())
    parts = figure.subplot_mosaic(
        [["map0", "map1"], ["cka", "cka"], ["aligned", "aligned"]]
        if narrow
        else [["map0", "map1", "spectra"], ["cka", "aligned", "aligned"]]
    )
    for i, arm in enumerate(arms):
        note = draw_map(parts[f"map{i}"], points[points["arm"] == arm], arm)
        parts[f"map{i}"].set_xlabel(note, fontsize=SMALL, color=NOTE)
    _matrix(figure, parts["cka"], cka, arms, labels or {})
    _alignments(parts["aligned"], rows, looks, labels or {}, width)
    if not narrow:
        _spectra(parts["spectra"], spectra[spectra["arm"].isin(arms)], looks)
    for letter, name in zip("abcd", ("map0", "cka", "aligned", "spectra"), strict=True):
        if name in parts:
            parts[name].text(
                -0.08, 1.03, letter, transform=parts[name].transAxes, fontweight="bold", ha="right", va="bottom"
            )
    entries = legend(points)
    entries += [Line2D([], [], label=arm, **marked(look)) for arm, look in looks.items()]
    entries += [Line2D([], [], color=NOTE, linestyle="--", label="its benign twin")]
    legend_below(figure, entries, width)
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
            axes.plot(run["component"], run["share"], color=look.color, linewidth=line_width(0.4), alpha=0.6)
        mean = np.exp(np.log(own["share"]).groupby(own["component"]).mean())
        axes.plot(mean.index, mean, color=look.color, linewidth=line_width(1.3), gid=f"spectrum/{arm}")
    axes.set(xscale="log", yscale="log", xlabel="component", ylabel="share of variance")
    axes.set_title("Spectra at the output")


def _matrix(figure: Figure, axes: Axes, cka: pd.DataFrame, arms: tuple[str, str], labels: Mapping[str, str]) -> None:
    import seaborn as sns  # it imports pyplot, which other figures do without

    table = _without_twice(cka.pivot_table(index="layer", columns="other_layer", values="value", sort=False))
    across, down = ([labels.get(layer, layer) for layer in names] for names in (table.columns, table.index))
    sns.heatmap(
        table, ax=axes, cmap="Blues", vmin=0, vmax=1, linewidths=0.6, linecolor="white", gid="cka", square=False,
        annot=table.map(number), fmt="", annot_kws={"fontsize": SMALL}, xticklabels=across, yticklabels=down,
        cbar=False,
    )  # fmt: skip
    bar = figure.colorbar(axes.collections[0], ax=axes, aspect=25, pad=0.02, ticks=[0, 0.5, 1])
    bar.outline.set_visible(False)
    axes.invert_yaxis()  # the first layer at the bottom
    axes.tick_params(length=0)
    axes.set_xticks(axes.get_xticks(), across, **SLANTED)
    axes.set_yticks(axes.get_yticks(), down, rotation=0)
    axes.set(xlabel=arms[1], ylabel=arms[0])
    axes.set_facecolor(FAINT)
    axes.set_title("CKA (debiased)")


def _without_twice(table: pd.DataFrame) -> pd.DataFrame:
    """Without inner layers that equal the output on both sides: where pooling is all that follows the last one."""
    if table.shape[0] > 1 and np.allclose(table.iloc[-1], table.iloc[-2], atol=5e-4):
        table = table.drop(index=table.index[-2])
    if table.shape[1] > 1 and np.allclose(table.iloc[:, -1], table.iloc[:, -2], atol=5e-4):
        table = table.drop(columns=table.columns[-2])
    return table


def _alignments(
    axes: Axes, rows: pd.DataFrame, looks: Mapping[str, ArmStyle], labels: Mapping[str, str], width: float
) -> None:
    """Both arms on one axis, beside each other at each layer."""
    layers = list(dict.fromkeys(rows["layer"]))
    axes.set(xlim=(-0.5, len(layers) - 0.5), ylim=limits(rows))
    for i, (arm, look) in enumerate(looks.items()):
        draw_alignment(
            axes, rows[rows["arm"] == arm], arm, look, ["", "benign"], layers, labels, shift=0.2 * (2 * i - 1)
        )
    axes.set_title("Interference by layer")
    name_layers(axes, layers, labels, width / 2)
    axes.set_ylabel("interference")
