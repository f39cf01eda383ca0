"""Learning curves show what the history says."""

import numpy as np
import pytest
from intertwine.figures import dynamics, losses

from tests.figures.frames import ARMS, drawn, history, legend_labels, looks, words


def test_lines_are_the_frame():
    table = history()
    figure, lower = dynamics(table), losses(table)
    for arm in ARMS:
        own = table[table["arm"] == arm]
        for column in ("acc", "asr"):
            evaluated = own.dropna(subset=[column])
            x, y = drawn(figure, f"{column}/{arm}")
            np.testing.assert_array_equal(x, evaluated["epoch"])
            np.testing.assert_allclose(y, evaluated[column])
        np.testing.assert_allclose(drawn(lower, f"loss_clean/{arm}")[1], own["loss_clean"])
        if not arm.endswith("-benign"):
            np.testing.assert_allclose(drawn(lower, f"loss_poison/{arm}")[1], own["loss_poison"])


def test_each_learner_has_a_column_and_asr_has_its_whole_scale():
    figure = dynamics(history())
    assert [axes.get_title() for axes in figure.axes[:4]] == ["supervised", "simclr", "", ""]
    assert [axes.get_ylabel() for axes in figure.axes[:4]] == ["ACC", "", "ASR", ""]
    low, high = figure.axes[2].get_ylim()
    assert low < 0 < 1 < high
    assert looks(figure, "acc/simclr-clean")[0].axes is figure.axes[1]
    only = dynamics(history(), measures=["asr"])
    assert [axes.get_ylabel() for axes in only.axes[:2]] == ["ASR", ""]
    with pytest.raises(ValueError, match="measures: expected some of acc, asr, received"):
        dynamics(history(), measures=["loss"])


def test_clean_arms_have_no_poison_loss_and_every_arm_is_named():
    figure = losses(history())
    assert not looks(figure, "loss_poison/supervised-benign")
    assert {axes.get_title() for axes in figure.axes} >= set(ARMS)
    assert legend_labels(dynamics(history())) == ARMS


def test_several_seeds_median_and_middle_half():
    table = history(["simclr-clean"], seeds=(0, 1, 2, 3, 4))
    figure = dynamics(table)
    over = table.dropna(subset=["asr"]).groupby("epoch")["asr"]
    np.testing.assert_allclose(drawn(figure, "asr/simclr-clean")[1], over.median())
    (line,) = looks(figure, "asr/simclr-clean")
    (band,) = line.axes.collections
    corners = set(np.round(band.get_paths()[0].vertices[:, 1], 9))
    assert set(np.round(over.quantile(0.25), 9)) | set(np.round(over.quantile(0.75), 9)) <= corners
    assert not set(np.round(over.max(), 9)) & corners


def test_what_was_not_measured_is_said():
    table = history(["simclr-clean", "moco"])
    table.loc[table["arm"] == "moco", ["asr", "loss_clean", "loss_poison"]] = np.nan
    assert "not evaluated:\nmoco" in words(dynamics(table))
    assert "no loss of single images" in words(losses(table))


def test_percent_is_refused():
    with pytest.raises(ValueError, match=r"history: expected acc as a share in \[0, 1\], received 95"):
        dynamics(history().assign(acc=95.0))
