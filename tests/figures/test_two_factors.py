"""Learner × poison: means and ends stand where the rows put them, and arms of other poisons are left out."""

import pandas as pd
import pytest
from intertwine.figures import two_factors

from tests.figures.frames import VALUES, crossed


def test_means_are_drawn_by_poison_with_a_line_for_each_learner():
    figure = two_factors(crossed(), measures=["K", "mixing"], labels={"K": "collateral"})
    assert [axes.get_title() for axes in figure.axes] == ["Collateral", "Mixing"]
    axes = figure.axes[0]
    assert [label.get_text() for label in axes.get_xticklabels()] == ["dirty", "clean"]
    means = [list(line.get_ydata()) for line in axes.lines if line.get_marker() == "o" and len(line.get_ydata()) == 2]
    assert means == [pytest.approx([0.0, 0.1]), pytest.approx([0.2, 0.7])]
    ends = {line.get_gid(): list(line.get_ydata()) for line in axes.lines if line.get_gid()}
    assert ends["apart/simclr"] == pytest.approx([-0.05, -0.05])
    assert ends["together/supervised"] == pytest.approx([0.95, 0.95])
    assert [text.get_text() for text in figure.legends[0].get_texts()] == [
        *("supervised", "simclr", "end: apart", "end: together")
    ]


def test_every_data_set_has_a_line_of_panels():
    figure = two_factors(crossed(("digits", "CIFAR-10")), measures=["mixing", "K"])
    assert [axes.get_ylabel() for axes in figure.axes] == ["digits", "", "CIFAR-10", ""]
    assert [axes.get_title() for axes in figure.axes] == ["Mixing", "K", "Mixing", "K"]


def test_readings_that_are_not_ok_and_other_poisons_are_left_out():
    given = crossed(arms=VALUES | {"simclr-benign": 0.5})
    given.loc[(given["arm"] == "simclr-clean") & (given["reference"] == ""), "status"] = "undefined"
    figure = two_factors(given, measures=["mixing"])
    (axes,) = figure.axes
    dots = {round(float(y), 2) for line in axes.lines if line.get_marker() == "." for y in line.get_ydata()}
    assert dots == {-0.01, 0.0, 0.01, 0.09, 0.1, 0.11, 0.19, 0.2, 0.21}


def test_a_measure_without_readings_says_so():
    figure = two_factors(crossed(measures=["mixing"]), measures=["mixing", "K"])
    assert [text.get_text() for text in figure.axes[1].texts] == ["no reading"]


def test_one_seed_is_drawn_without_interval():
    given = crossed()
    two_factors(given[given["seed"] == 0], measures=["mixing"])


def test_rows_without_crossed_arms_are_refused():
    with pytest.raises(ValueError, match="rows: expected readings of dirty or clean arms that are ok"):
        two_factors(crossed(arms={"simclr-benign": 0.1}), measures=["mixing"])
    twice = pd.concat([crossed(), crossed()])
    with pytest.raises(ValueError, match="rows: expected one reading for each data and run and measure"):
        two_factors(twice, measures=["mixing"])


def test_one_learner_stands_on_the_places_of_its_poisons():
    (axes,) = two_factors(crossed(arms={"simclr-dirty": 0.2, "simclr-clean": 0.7}), measures=["mixing"]).axes
    (means,) = (line for line in axes.lines if line.get_marker() == "o" and len(line.get_ydata()) == 2)
    assert list(means.get_xdata()) == [0, 1]
    assert list(means.get_ydata()) == pytest.approx([0.2, 0.7])
