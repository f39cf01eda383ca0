"""Readings against a dose: means over seeds, a panel a reading."""

import pytest
from intertwine.figures import dose_response

from tests.figures.frames import dosed


def test_lines_are_means_over_seeds():
    figure = dose_response(dosed(), titles=["M", "I"])
    (axes,) = [axes for axes in figure.axes if axes.get_visible()]
    assert axes.get_title(loc="left") == "I"
    lines = {line.get_label(): line for line in axes.lines if line.get_label() in ("simclr-clean", "supervised-dirty")}
    assert list(lines["simclr-clean"].get_ydata()) == pytest.approx([0, 0.5, 1])
    assert list(lines["supervised-dirty"].get_ydata()) == pytest.approx([0, 1, 2])


def test_readings_without_points_are_named():
    with pytest.raises(ValueError, match="points: expected points of K, received none"):
        dose_response(dosed(), titles=["K"])
