"""One panel each: how alike the layers of two encoders are, and their spectra."""

import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from .canvas import small_multiples
from .frames import checked

__all__ = ["layer_similarity", "spectra"]


def layer_similarity(
    pairs: pd.DataFrame, *, x_label: str, y_label: str, width: float | None = None, ax: Axes | None = None
) -> Figure:
    """A heat map of the similarity of every layer of one encoder (down) with every layer of another (across).

    Args:
        pairs: columns layer, other_layer, value in [0, 1] up to noise, one line a pair, in the order of depth.
        ax: draw here; by default into a new figure.
    """
    import seaborn as sns  # it imports pyplot, which other figures do without

    pairs = checked(pairs, "pairs", texts=("layer", "other_layer"), numbers=("value",))
    table = pairs.pivot_table(index="layer", columns="other_layer", values="value", sort=False)
    panels = small_multiples(1, each=2, height=0.3 * len(table) + 1.2, width=width, ax=ax)
    (axes,) = panels.axes
    sns.heatmap(
        table, vmin=0, vmax=1, cmap="Blues", annot=True, fmt=".2f", square=True, cbar=False, linewidths=0.6, ax=axes
    )
    axes.set(xlabel=x_label, ylabel=y_label, title="CKA, clean images")
    axes.tick_params(axis="x", rotation=35, length=0)
    axes.tick_params(axis="y", rotation=0, length=0)
    return panels.finished()


def spectra(shares: pd.DataFrame, *, width: float | None = None, ax: Axes | None = None) -> Figure:
    """Share of variance by principal component, a line an encoder, on logarithmic axes.

    Args:
        shares: columns encoder, component (from 1), share in [0, 1].
        ax: draw here; by default into a new figure.
    """
    import seaborn as sns  # it imports pyplot, which other figures do without

    shares = checked(shares, "shares", texts=("encoder",), numbers=("component", "share"))
    shares = shares[shares["share"] > 1e-12]  # what is numerically zero would stretch the axis
    panels = small_multiples(1, each=2, height=2.2, width=width, ax=ax)
    (axes,) = panels.axes
    sns.lineplot(shares, x="component", y="share", hue="encoder", style="encoder", errorbar=None, ax=axes)
    axes.set(xscale="log", yscale="log", ylabel="share of variance", title="Spectra at the output")
    axes.legend(title=None)
    return panels.finished()
