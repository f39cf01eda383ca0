"""Which layers hold the attack: ASR gained and lost with the weights of one layer."""

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.lines import Line2D

from .alignment import name_layers
from .canvas import small_multiples
from .frames import arms_in_order, checked_rows, split, t_interval
from .style import FAINT, arm_styles, capital, default_width, hollow, in_words, line_width, mark_size, marked

__all__ = ["transplants"]

MEASURES = ("transplant_gain", "transplant_loss")
CONTROL = "random-direction"


def transplants(
    rows: pd.DataFrame,
    *,
    layers: Sequence[str],
    labels: Mapping[str, str] | None = None,
    width: float | None = None,
    ax: Axes | None = None,
) -> Figure:
    """Two panels: the share of the attack that moves with the weights of one layer.

    In the first the benign twin gains it with a layer of the poisoned encoder. In the second the poisoned encoder loses
    it with a layer of the twin. Means over runs, with Student's 95 % intervals. Hollow: the mean where the layer moved
    as far in a random direction.

    ``rows``: the table of results; rows whose status is not "ok" are left out. Shares may lie outside [0, 1].
    ``labels``: words for measures and layers. ``ax``: draw a single measure here.
    """
    rows = checked_rows(rows)
    rows = split(rows[rows["measure"].isin(MEASURES) & rows["layer"].isin(layers)])[1]
    if rows.empty:
        raise ValueError(f"rows: expected rows of {' or '.join(MEASURES)} at {', '.join(layers)} with status ok")
    looks = arm_styles(arms_in_order(rows["arm"]))
    measures = [measure for measure in MEASURES if measure in set(rows["measure"])]
    legend = [
        *(Line2D([], [], linestyle="none", label=arm, **marked(look)) for arm, look in looks.items()),
        Line2D([], [], **hollow(0.7), label="random direction"),
    ]
    panels = small_multiples(len(measures), each=2.2, height=1.7, width=width, most=2, legend=legend, ax=ax)
    room = (default_width() if width is None else width) / len(measures) - 0.5
    for axes, measure in zip(panels.axes, measures, strict=True):
        for height in (0, 1):
            axes.axhline(height, color=FAINT, linewidth=0.7, zorder=0)
        for place, (arm, look) in enumerate(looks.items()):
            own = rows[(rows["arm"] == arm) & (rows["measure"] == measure)]
            x = np.arange(len(layers)) + 0.75 * ((place + 0.5) / len(looks) - 0.5)
            means, control = (
                own[own["reference"] == r].groupby("layer")["value"].mean().reindex(list(layers)) for r in ("", CONTROL)
            )
            line: dict[str, Any] = {
                "color": look.color,
                "linestyle": "none",
                "marker": look.marker,
                "markeredgewidth": 0.6,
            }
            gid = f"{arm}/{measure}"
            axes.plot(x, control, **line, ms=mark_size(0.7), mfc="white", gid=f"{CONTROL}/{gid}", zorder=2)
            for at, layer in zip(x, layers, strict=True):
                ends = t_interval(own.loc[(own["reference"] == "") & (own["layer"] == layer), "value"])
                axes.plot([at, at], ends, color=look.color, linewidth=line_width(0.8), gid=f"interval/{gid}/{layer}")
            axes.plot(x, means, **line, ms=mark_size(), gid=f"{measure}/{gid}", zorder=3)
        axes.set_title(capital(in_words(measure, labels)))
        axes.set_xlim(-0.5, len(layers) - 0.5)
        name_layers(axes, layers, labels, room)
    panels.name(y="share of the attack")
    return panels.finished()
