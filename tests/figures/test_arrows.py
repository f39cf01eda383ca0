"""Arrows go from the mean before to the mean after."""

import numpy as np
import pytest
from intertwine.figures import (
    arrows,
)

from tests.figures.frames import drawn, looks, moved, words


def test_from_the_mean_before_to_the_mean_after():
    figure = arrows(moved(), x_label="mixing", y_label="ASR")
    assert np.ravel(drawn(figure, "before/simclr-clean/a")) == pytest.approx([0.5, 1.0])
    assert np.ravel(drawn(figure, "after/simclr-clean/b")) == pytest.approx([0.35, 0.2])


def test_a_seed_that_lacks_a_number_is_left_out():
    rows = moved()
    rows.loc[rows.seed == 1, "y"] = np.nan
    rows.loc[rows.defence == "b", "x"] = np.nan
    figure = arrows(rows, x_label="mixing", y_label="ASR")
    assert np.ravel(drawn(figure, "after/simclr-clean/a")) == pytest.approx([0.3, 0.2])
    assert not looks(figure, "after/simclr-clean/b")
    assert words(figure).count("no value") == 1
