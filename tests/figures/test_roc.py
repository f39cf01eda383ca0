"""Lines are means over seeds at each rate."""

import pytest
from intertwine.figures import (
    roc,
)

from tests.figures.frames import curves, drawn, legend_labels


def test_lines_are_means_over_seeds_at_each_rate():
    figure = roc(curves())
    x, y = drawn(figure, "simclr-clean/c")
    assert x == pytest.approx([0.01, 0.1, 1.0]), "0 has no place on a logarithmic axis"
    assert y == pytest.approx([0.06, 0.15, 1.0])
    assert [axes.get_title(loc="left") for axes in figure.axes] == ["c", "d"]
    assert "chance" in legend_labels(figure)


def test_no_rate_above_zero():
    rows = curves()
    with pytest.raises(ValueError, match="curves: expected false-positive rates above 0, received none"):
        roc(rows[rows.x == 0])
