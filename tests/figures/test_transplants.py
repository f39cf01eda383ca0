"""Shares by layer, with their controls."""

import numpy as np
import pytest
from intertwine.figures import (
    transplants,
)

from tests.figures.frames import LAYERS, carried, drawn, looks


def test_means_ranges_and_controls():
    labels = {"transplant_gain": "ASR gained with the layer", "transplant_loss": "ASR lost with the layer"}
    figure = transplants(carried(), layers=LAYERS, labels=labels)
    np.testing.assert_allclose(drawn(figure, "transplant_gain/simclr-clean/transplant_gain")[1], [0.15, 0.25, 0.35])
    np.testing.assert_allclose(drawn(figure, "random-direction/simclr-clean/transplant_loss")[1], 0.0)
    assert [axes.get_title() for axes in figure.axes] == [
        "ASR gained with the layer",
        "ASR lost with the layer",
    ]
    half = 12.7062 * 0.1 / 2  # Student's t of one degree of freedom, and the SE of two seeds .1 apart
    ends = drawn(figure, "interval/simclr-clean/transplant_gain/stem")[1]
    np.testing.assert_allclose(ends, [0.15 - half, 0.15 + half], rtol=1e-4)


def test_what_is_not_ok_is_left_out():
    rows = carried()
    rows.loc[rows["arm"] == "simclr-clean", "status"] = "undefined"
    assert not looks(transplants(rows, layers=LAYERS), "transplant_gain/simclr-clean/transplant_gain")
    with pytest.raises(ValueError, match="rows: expected rows of transplant_gain or transplant_loss at"):
        transplants(rows.assign(status="undefined"), layers=LAYERS)
