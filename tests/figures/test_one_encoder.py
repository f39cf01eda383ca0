"""One encoder in one panel."""

import numpy as np
import pandas as pd
import pytest
from intertwine.figures import image_map, image_maps, reading_strips
from matplotlib.figure import Figure


def rows(**values):
    """Rows of one reading by reference."""
    about = {"run": "r", "arm": "simclr-clean", "seed": 0, "layer": "features", "subset": "hits", "status": "ok"}
    return pd.DataFrame(
        [
            {**about, "measure": "mixing", "reference": name.replace("own", ""), "value": v, "ci_low": v - 0.1}
            | {"ci_high": v + 0.1}
            for name, v in values.items()
        ]
    )


def test_a_reading_lies_between_its_own_two_ends():
    axes = reading_strips(rows(own=0.5, apart=0.2, together=0.8, benign=0.2)).axes[0]
    strip, interval, value, twin = axes.lines
    assert strip.get_xdata().tolist() == [0, 1]
    np.testing.assert_allclose(interval.get_xdata(), [1 / 3, 2 / 3])
    assert value.get_xdata() == pytest.approx(0.5)
    assert twin.get_xdata() == pytest.approx(0)
    assert [t.get_text() for t in axes.get_yticklabels()] == ["mixing"]


def test_without_two_ends_there_is_no_place():
    assert not reading_strips(rows(own=0.5, together=0.8)).axes[0].lines


def points():
    cells = [(0, 0, 0), (1, 0, 0), (1, 1, 1), (1, 1, 0)]
    return pd.DataFrame(
        [{"label": a, "triggered": b, "target": 0, "hit": c, "x": i, "y": -i} for i, (a, b, c) in enumerate(cells)]
    )


def test_images_are_told_apart():
    axes = Figure().subplots()
    assert image_map(points(), ax=axes) is axes
    assert len(axes.collections[0].get_offsets()) == 4
    assert {t.get_text() for t in axes.get_legend().get_texts()} == {
        *("clean, other classes", "clean, target class", "triggered, no hits", "triggered, hits"),
    }
    assert len({tuple(c) for c in axes.collections[0].get_facecolors()}) == 4


def test_two_maps_stand_side_by_side():
    figure = image_maps(pd.concat([points().assign(encoder=e) for e in "AB"]))
    assert [axes.get_title() for axes in figure.axes] == ["A", "B"]
