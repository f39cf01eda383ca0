"""Learning curves show what the history says."""

import matplotlib
import numpy as np
import pytest
from intertwine.figures import (
    dynamics,
)

from tests.figures.frames import ARMS, drawn, history, legend_labels, looks, words


def test_lines_are_the_frame():
    table = history()
    figure = dynamics(table)
    for arm in ARMS:
        own = table[table["arm"] == arm]
        for column in ("acc", "asr"):
            evaluated = own.dropna(subset=[column])
            x, y = drawn(figure, f"{column}/{arm}")
            np.testing.assert_array_equal(x, evaluated["epoch"])
            np.testing.assert_allclose(y, evaluated[column])
        np.testing.assert_allclose(drawn(figure, f"loss_clean/{arm}")[1], own["loss_clean"])
        if not arm.endswith("-benign"):
            np.testing.assert_allclose(drawn(figure, f"loss_poison/{arm}")[1], own["loss_poison"])


def test_clean_arms_have_no_poison_loss_and_every_arm_is_named():
    figure = dynamics(history())
    assert not looks(figure, "loss_poison/supervised-benign")
    assert legend_labels(figure)[: len(ARMS)] == ARMS
    assert set(ARMS) <= {axes.get_title(loc="left") for axes in figure.findobj(matplotlib.axes.Axes)}


def test_several_seeds_mean_and_band():
    table = history(["simclr-clean"], seeds=(0, 1, 2))
    figure = dynamics(table)
    over = table.dropna(subset=["asr"]).groupby("epoch")["asr"]
    np.testing.assert_allclose(drawn(figure, "asr/simclr-clean")[1], over.mean())
    (line,) = looks(figure, "asr/simclr-clean")
    (band,) = line.axes.collections
    corners = band.get_paths()[0].vertices[:, 1]
    assert set(np.round(over.min(), 9)) | set(np.round(over.max(), 9)) <= set(np.round(corners, 9))


def test_what_was_not_measured_is_said():
    table = history(["simclr-clean", "moco"])
    table.loc[table["arm"] == "moco", ["asr", "loss_clean", "loss_poison"]] = np.nan
    text = words(dynamics(table))
    assert "not evaluated:\nmoco" in text
    assert "no per-sample loss" in text


def test_percent_is_refused():
    with pytest.raises(ValueError, match=r"history: expected acc as a share in \[0, 1\], received 95"):
        dynamics(history().assign(acc=95.0))
