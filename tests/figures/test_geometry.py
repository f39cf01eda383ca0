"""Four parts of one figure show their tables."""

import numpy as np
import pytest
from intertwine.figures import (
    geometry,
)

from tests.figures.frames import drawn, looks, two_ways, words


def test_the_parts_are_the_tables():
    figure = geometry(*two_ways(), arms=("supervised-dirty", "simclr-clean"), width=8)
    component, share = drawn(figure, "spectrum/simclr-clean")
    assert component == pytest.approx([1, 2, 3])
    assert share == pytest.approx([1.0, 0.5, 0.25]), "the geometric mean of two runs"
    (mesh,) = looks(figure, "cka")
    expected = [[0.1 * i + 0.2 * j for j in range(3)] for i in range(3)]
    assert np.asarray(mesh.get_array(), dtype=float) == pytest.approx(np.array(expected))
    assert mesh.axes.get_ylim() == (0, 3), "the first layer at the bottom"
    assert drawn(figure, "reading/simclr-clean/stem")[1] == pytest.approx([0.4])
    assert drawn(figure, "benign/supervised-dirty/stem")[1] == pytest.approx([0.1])
    assert {"a", "b", "c", "d"} <= set(words(figure))


def test_other_arms_are_left_out():
    tables = two_ways(("supervised-dirty", "simclr-clean", "supervised-clean"))
    figure = geometry(*tables, arms=("supervised-dirty", "simclr-clean"))
    assert not any("supervised-clean" in word for word in words(figure))


def test_bad_input():
    points_of, spectra, cka, rows = two_ways()
    with pytest.raises(ValueError, match="cka: expected the columns layer, other_layer, value"):
        geometry(points_of, spectra, cka.drop(columns="value"), rows, arms=("supervised-dirty", "simclr-clean"))
