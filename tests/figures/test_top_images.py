"""Each row holds the images that activate a unit most, largest first."""

import numpy as np
import pytest
from intertwine.figures import ROLES, top_images
from matplotlib.colors import to_rgba

from tests.figures.frames import looks, words

IMAGES = np.arange(3 * 3 * 2 * 2, dtype=np.uint8).reshape(3, 3, 2, 2)


def test_images_are_ordered_by_activation_and_triggered_ones_are_framed():
    activations = np.array([[0.0, 5.0], [2.0, 4.0], [1.0, 6.0]])
    figure = top_images(IMAGES, activations, np.array([False, False, True]), units=[0], most=2)
    first, second = figure.axes
    np.testing.assert_array_equal(first.images[0].get_array(), IMAGES[1].transpose(1, 2, 0))
    np.testing.assert_array_equal(second.images[0].get_array(), IMAGES[2].transpose(1, 2, 0))
    assert [axes.get_xlabel() for axes in figure.axes] == ["2.0", "1.0"]
    assert second.spines["top"].get_edgecolor() == to_rgba(ROLES["hits"])
    assert not first.spines["top"].get_visible()
    assert "unit 0" in words(figure)
    assert not looks(figure, "0/0")


def test_bad_input():
    with pytest.raises(ValueError, match="units: expected columns below 2, received"):
        top_images(IMAGES, np.zeros((3, 2)), np.zeros(3, bool), units=[2])
    with pytest.raises(ValueError, match="activations: expected"):
        top_images(IMAGES, np.zeros((2, 2)), np.zeros(3, bool), units=[0])
