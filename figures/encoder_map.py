"""A map of encoders: near each other if their representations agree."""

from collections.abc import Sequence

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.lines import Line2D

from .canvas import small_multiples
from .frames import arms_in_order
from .style import NOTE, SMALL, arm_styles, mark_size, marked, number

__all__ = ["encoder_map"]


def encoder_map(
    distances: np.ndarray,
    *,
    arms: Sequence[str],
    seeds: Sequence[int] | None = None,
    width: float | None = None,
    ax: Axes | None = None,
) -> Figure:
    """Classical scaling (MDS) of distances between encoders to two dimensions, one dot an encoder.

    Distances such as Procrustes' or the angle arccos CKA. Below is the share of the squared distances' positive
    spectrum that both axes hold: with a low one, positions say little. Axes have no unit and no direction of their own.

    Args:
        distances: ``(n, n)``, symmetric, ≥ 0, 0 on the diagonal.
        arms: of each encoder. seeds: a number beside each dot, if given.
        ax: draw here.
    """
    d = np.asarray(distances, dtype=float)
    if d.ndim != 2 or d.shape[0] != d.shape[1] or len(d) < 3 or len(arms) != len(d):
        raise ValueError(f"distances: expected (n, n) with n arms and n of 3 or more, received {d.shape}, {len(arms)}")
    if not np.isfinite(d).all() or (d < -1e-9).any() or not np.allclose(d, d.T, atol=1e-6):
        raise ValueError("distances: expected a symmetric matrix of finite numbers of 0 or more")
    places, share = _scaled(d)
    looks = arm_styles(arms_in_order(arms))
    legend = [Line2D([], [], linestyle="none", label=arm, **marked(look, 1.4)) for arm, look in looks.items()]
    panels = small_multiples(1, each=2, height=2.9, width=width, legend=legend, ax=ax)
    (axes,) = panels.axes
    table = pd.DataFrame(places, columns=["x", "y"]).assign(arm=list(arms))
    for arm, group in table.groupby("arm", sort=False):
        axes.plot(group["x"], group["y"], linestyle="none", **marked(looks[str(arm)], 1.5), gid=f"encoder/{arm}")
    if seeds is not None:
        for (x, y), seed in zip(places, seeds, strict=True):
            axes.annotate(
                f"{seed}", (x, y), (mark_size(1.0), 0), textcoords="offset points", va="center", fontsize=SMALL,
                color=NOTE,
            )  # fmt: skip
    axes.set_aspect("equal", adjustable="datalim")
    axes.margins(0.12)
    axes.set(xticks=[], yticks=[])
    axes.set_xlabel(f"two dimensions hold {number(share)} of the distances", fontsize=SMALL, color=NOTE)
    for spine in axes.spines.values():
        spine.set(visible=True, color="#CCCCCC")
    return panels.finished()


def _scaled(d: np.ndarray) -> tuple[np.ndarray, float]:
    """Coordinates ``(n, 2)`` and the share of the positive spectrum in them; signs make the largest part positive."""
    centre = np.eye(len(d)) - 1 / len(d)
    values, vectors = np.linalg.eigh(-0.5 * centre @ np.square(d) @ centre)
    order = np.argsort(-values)[:2]
    vectors = vectors[:, order]
    vectors *= np.where(vectors[np.abs(vectors).argmax(0), [0, 1]] < 0, -1.0, 1.0)
    positive = values.clip(min=0)
    return vectors * np.sqrt(positive[order]), float(positive[order].sum() / (positive.sum() or 1))
