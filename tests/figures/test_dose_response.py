"""Readings against a dose: means over seeds, a panel a reading."""

import pytest
from intertwine.figures import dose_response

from tests.figures.frames import dosed, drawn


def test_lines_are_means_over_seeds():
    figure = dose_response(dosed(), titles=["M", "I"])
    (axes,) = figure.axes
    assert axes.get_title() == "I"
    assert drawn(figure, "I/simclr-clean")[1] == pytest.approx([0, 0.5, 1])
    assert drawn(figure, "I/supervised-dirty")[1] == pytest.approx([0, 1, 2])


def test_readings_without_points_are_named():
    with pytest.raises(ValueError, match="points: expected points of K, received none"):
        dose_response(dosed(), titles=["K"])
