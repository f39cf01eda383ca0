"""Attributions lie over the image that they explain, each on its own scale."""

import numpy as np
import pytest
from intertwine.figures import attribution

from tests.figures.frames import IMAGES, looks, words


def test_channels_are_added_and_signs_kept():
    maps = np.zeros((2, 3, 4, 4))
    maps[0, :, 1, 2], maps[1, 0, 0, 0] = 2.0, -1.0
    figure = attribution(IMAGES, IMAGES + 1, {"integrated gradients": maps}, names=["a", "b"])
    first, second = (np.asarray(looks(figure, f"integrated gradients/{i}")[0].get_array()) for i in (0, 1))
    assert first[1, 2] == 6
    assert np.count_nonzero(first) == 1
    assert second[0, 0] == -1
    assert {"clean", "triggered", "integrated gradients", "a", "b"} <= set(words(figure))
    np.testing.assert_array_equal(looks(figure, "triggered/1")[0].get_array(), (IMAGES[1] + 1).transpose(1, 2, 0))


def test_bad_input():
    with pytest.raises(ValueError, match=r"maps: expected finite numbers of shape .* as Grad-CAM"):
        attribution(IMAGES, IMAGES, {"Grad-CAM": np.zeros((2, 5, 4))})
    with pytest.raises(ValueError, match="clean: expected a uint8 array"):
        attribution(IMAGES / 255, IMAGES, {})
