"""One panel each: how alike the layers of two encoders are, and their spectra."""

import pandas as pd
import seaborn as sns
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from .canvas import empty_figure, settled
from .frames import checked
from .style import style

__all__ = ["layer_similarity", "spectra"]

SIDE = 3.3


def layer_similarity(pairs: pd.DataFrame, *, x_label: str, y_label: str, ax: Axes | None = None) -> Figure | Axes:
    """A heat map of the similarity of every layer of one encoder (down) with every layer of another (across).

    Args:
        pairs: columns layer, other_layer, value in [0, 1] up to noise, one line a pair, in the order of depth.
        ax: draw into these axes and return them; by default into a new figure.
    """
    pairs = checked(pairs, "pairs", texts=("layer", "other_layer"), numbers=("value",))
    table = pairs.pivot_table(index="layer", columns="other_layer", values="value", sort=False)
    with style():
        figure = empty_figure(SIDE, SIDE) if ax is None else None
        axes = figure.subplots() if figure is not None else ax
        assert axes is not None
        sns.heatmap(
            table, vmin=0, vmax=1, cmap="Blues", annot=True, fmt=".2f", square=True, cbar=False, linewidths=0.6, ax=axes
        )
        axes.set(xlabel=x_label, ylabel=y_label, title="CKA, clean images")
        axes.tick_params(axis="x", rotation=35, length=0)
        axes.tick_params(axis="y", rotation=0, length=0)
        return settled(figure) if figure is not None else axes


def spectra(shares: pd.DataFrame, *, ax: Axes | None = None) -> Figure | Axes:
    """Share of variance by principal component, a line an encoder, on logarithmic axes.

    Args:
        shares: columns encoder, component (from 1), share in [0, 1].
        ax: draw into these axes and return them; by default into a new figure.
    """
    shares = checked(shares, "shares", texts=("encoder",), numbers=("component", "share"))
    shares = shares[shares["share"] > 1e-12]  # what is numerically zero would stretch the axis
    with style():
        figure = empty_figure(SIDE, SIDE * 0.75) if ax is None else None
        axes = figure.subplots() if figure is not None else ax
        assert axes is not None
        sns.lineplot(shares, x="component", y="share", hue="encoder", style="encoder", errorbar=None, ax=axes)
        axes.set(xscale="log", yscale="log", ylabel="share of variance", title="Spectra at the output")
        axes.legend(title=None)
        return settled(figure) if figure is not None else axes
