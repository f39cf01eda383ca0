"""Clean image, triggered image and their difference, pixel by pixel."""

import numpy as np
import pytest
from intertwine.figures import (
    gallery,
)

from tests.figures.frames import words

CLEAN = np.full((2, 3, 4, 5), 100, np.uint8)


def test_rows_show_clean_triggered_and_signed_difference():
    triggered = CLEAN.copy()
    triggered[0, 0, 0, 0], triggered[0, 1, 0, 0], triggered[1, 2, 3, 4] = 110, 90, 255
    figure = gallery(CLEAN, triggered, names=["a", "b"], gain=4)
    shown = [axes.images[0].get_array() for axes in figure.axes]
    np.testing.assert_array_equal(shown[0], CLEAN[0].transpose(1, 2, 0))
    np.testing.assert_array_equal(shown[3], triggered[1].transpose(1, 2, 0))
    assert shown[4][0, 0].tolist() == [168, 88, 128]  # up, down (not wrapped), unchanged grey
    assert shown[5][3, 4].tolist() == [128, 128, 255]  # cut, not wrapped
    assert {"difference × 4\n(grey: none)", "largest 10/255", "largest 155/255", "a", "b"} <= set(words(figure))
    assert all(axes.images[0].get_interpolation() == "nearest" for axes in figure.axes)


def test_bad_input():
    with pytest.raises(ValueError, match="clean: expected a uint8 array"):
        gallery(CLEAN / 255, CLEAN, names=["a", "b"])
    with pytest.raises(ValueError, match=r"triggered: expected the shape of clean, .* received \(1, 3, 4, 5\)"):
        gallery(CLEAN, CLEAN[:1], names=["a", "b"])
    with pytest.raises(ValueError, match="names: expected 2 names"):
        gallery(CLEAN, CLEAN, names=["a"])
    with pytest.raises(ValueError, match="gain: expected a positive number, received 0"):
        gallery(CLEAN, CLEAN, names=["a", "b"], gain=0)
    with pytest.raises(ValueError, match="width: expected at least"):
        gallery(CLEAN, CLEAN, names=["a", "b"], width=1)
