"""Distances in the plane are the given ones where the plane can hold them."""

import numpy as np
import pytest
from intertwine.figures import encoder_map

from tests.figures.frames import drawn, words

PLACES = np.array([[0.0, 0.0], [3.0, 0.0], [0.0, 4.0], [3.0, 4.0]])
DISTANCES = np.linalg.norm(PLACES[:, None] - PLACES[None], axis=-1)


def test_a_planar_configuration_keeps_its_distances():
    arms = ["supervised-dirty", "supervised-dirty", "simclr-clean", "simclr-clean"]
    figure = encoder_map(DISTANCES, arms=arms, seeds=[0, 1, 0, 1])
    found = np.concatenate([np.stack(drawn(figure, f"encoder/{arm}"), 1) for arm in dict.fromkeys(arms)])
    np.testing.assert_allclose(np.linalg.norm(found[:, None] - found[None], axis=-1), DISTANCES, atol=1e-9)
    assert "two dimensions hold 1.00 of the distances" in words(figure)


def test_what_is_no_distance_matrix_is_refused():
    with pytest.raises(ValueError, match="distances: expected a symmetric matrix"):
        encoder_map(DISTANCES + np.triu(np.ones((4, 4)), 1), arms=list("abcd"))
    with pytest.raises(ValueError, match=r"distances: expected \(n, n\)"):
        encoder_map(DISTANCES[:2], arms=list("ab"))
