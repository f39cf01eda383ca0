"""Markers are what was lost since the start."""

import numpy as np
from intertwine.figures import (
    forgetting,
)

from tests.figures.frames import drawn, forgotten


def test_markers_are_what_was_lost_since_the_start():
    figure = forgetting(forgotten())
    for way in ("ascent", "benign-only"):
        x, y = drawn(figure, f"{way}/simclr-clean")
        np.testing.assert_allclose(x, [0, 0.25, 0.5])
        np.testing.assert_allclose(y, [0, 0.15, 0.3], atol=1e-12)
        np.testing.assert_allclose(drawn(figure, f"benign/{way}/simclr-clean")[1], [0, 0.05, 0.1], atol=1e-12)
    low, high = figure.axes[0].get_ylim()
    assert low < 0
    assert high > 0.4  # of the run that lost most


def test_ways_keep_their_order_and_noise_does_not_fill_a_panel():
    points = forgotten(ways=("clean-finetuning", "ascent"))
    points["value"] = points["value"].where(points["measure"] == "asr", 0.9)
    figure = forgetting(points)
    assert [axes.get_title() for axes in figure.axes] == ["Clean finetuning", "Ascent"]
    assert figure.axes[0].get_ylim()[1] > 0.1


def test_a_run_that_ended_early_leaves_the_later_means():
    points = forgotten()
    early = (points["run"] == "simclr-clean-1") & (points["x"] == 2)
    np.testing.assert_allclose(drawn(forgetting(points[~early]), "ascent/simclr-clean")[1], [0, 0.15, 0.2])
