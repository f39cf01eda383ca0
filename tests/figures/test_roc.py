"""Lines are medians over seeds at each rate."""

import numpy as np
import pytest
from intertwine.figures import (
    roc,
)

from tests.figures.frames import curves, drawn, frame, legend_labels, looks, words


def test_lines_are_medians_over_seeds_at_each_rate():
    figure = roc(curves())
    x, y = drawn(figure, "simclr-clean/c")
    assert x == pytest.approx([0.01, 0.1, 1.0]), "0 has no place on a logarithmic axis"
    assert y == pytest.approx([0.06, 0.15, 1.0])
    assert [axes.get_title() for axes in figure.axes] == ["C", "D"]
    assert "chance" in legend_labels(figure)
    (line,) = looks(figure, "simclr-clean/c")
    assert line.get_drawstyle() == "steps-post"


def test_bands_are_the_middle_half_and_areas_stand_in_the_panels():
    areas = frame(*({"defence": "c", "arm": "simclr-clean", "value": value} for value in (0.7, 0.9, 0.95)))
    figure = roc(curves(seeds=(0, 1, 2, 3, 4)), aurocs=areas, labels={"c": "CLP"})
    assert "CLP" in [axes.get_title() for axes in figure.axes]
    assert "0.90" in words(figure)
    (line,) = looks(figure, "simclr-clean/c")
    heights = np.concatenate([band.get_paths()[0].vertices for band in line.axes.collections])
    at_tenth = heights[np.isclose(heights[:, 0], 0.1), 1]
    assert {0.2, 0.4} <= set(np.round(at_tenth, 9)), "quartiles of .1, .2, .3, .4, .5"
    assert at_tenth.max() < 0.5


def test_no_rate_above_zero():
    rows = curves()
    with pytest.raises(ValueError, match="curves: expected false-positive rates above 0, received none"):
        roc(rows[rows.x == 0])
