"""Readings show what the rows say: every value, every arm, and every reading that could not be had."""

from itertools import product

import numpy as np
import pytest
from intertwine.figures import (
    ARM_STYLES,
    readings,
)

from tests.factories import case
from tests.figures.frames import ARMS, drawn, frame, legend_labels, looks, row, words


def test_coordinates_are_the_values():
    records = []
    for i, arm in enumerate(ARMS):
        records += [row(arm, value=0.2 + i / 10), row(arm, reference="benign", value=0.05 * i)]
    figure = readings(frame(*records), measures=["neighbour_mixing"])
    axes = figure.axes[0]
    for i, arm in enumerate(ARMS):
        x, y = drawn(figure, f"reading/{arm}")
        assert (x[0], round(y[0])) == (0.2 + i / 10, i)
        np.testing.assert_allclose(drawn(figure, f"interval/{arm}")[0], [0.1 + i / 10, 0.4 + i / 10])
        assert drawn(figure, f"benign/{arm}")[0] == 0.05 * i
    assert [label.get_text() for label in axes.get_yticklabels()] == ARMS
    assert "benign" in legend_labels(figure)
    low, high = axes.get_xlim()
    assert low < 0.0 < 0.8 < high


def test_one_panel_a_measure_with_its_label_and_place():
    rows = frame(row(), row(measure="source_accuracy", layer="layer1", subset="hits"), row(measure="my_own"))
    figure = readings(rows, measures=["source_accuracy", "my_own"])
    assert [axes.get_title() for axes in figure.axes] == ["Source accuracy", "My own"]
    assert figure.axes[0].get_xlabel() == "layer1, hits"


def test_a_reading_that_is_not_ok_is_marked():
    for status, value in product(("too_few_hits", "not_estimable", "undefined"), (0.3, np.nan)):
        with case(status, value):
            figure = readings(
                frame(row("supervised-dirty"), row(value=value, status=status)), measures=["neighbour_mixing"]
            )
            assert status.replace("_", " ") in words(figure)
            if np.isfinite(value):
                (marker,) = looks(figure, "reading/simclr-clean")
                assert (
                    marker.get_markerfacecolor() == "white" != looks(figure, "reading/supervised-dirty")[0].get_color()
                )
                assert marker.get_color() != ARM_STYLES["simclr-clean"].color
            else:
                assert not looks(figure, "reading/simclr-clean")


def test_nothing_vanishes():
    rows = frame(
        row(value=np.nan),  # claims to be ok
        row("supervised-dirty", measure="silhouette"),
        row("supervised-dirty"),
        row("supervised-dirty", reference="benign", value=np.nan, status="undefined"),
    )
    figure = readings(rows, measures=["neighbour_mixing", "silhouette"])
    assert words(figure).count("–") == 2
    assert "no value" in legend_labels(figure)
    # A reference that has no value is not there, rather than a note across the panel.
    assert not figure.findobj(lambda artist: artist.get_gid() == "benign/supervised-dirty")


def test_nothing_to_place_at_all():
    assert "undefined" in words(readings(frame(row(value=np.nan, status="undefined")), measures=["neighbour_mixing"]))


def test_values_stay_inside_even_when_not_ok():
    figure = readings(
        frame(row(), row("supervised-dirty", value=9.0, status="not_estimable", ci_low=-500.0, ci_high=500.0)),
        measures=["neighbour_mixing"],
    )
    assert 9 < figure.axes[0].get_xlim()[1] < 12


def test_several_seeds_small_dots_and_their_mean():
    rows = frame(*[row(seed=seed, value=value) for seed, value in enumerate([0.1, 0.2, 0.6])])
    rows.loc[2, "status"] = "too_few_hits"
    figure = readings(rows, measures=["neighbour_mixing"])
    ok, bad = looks(figure, "run/simclr-clean")
    np.testing.assert_allclose(ok.get_xdata(), [0.1, 0.2])
    np.testing.assert_allclose(bad.get_xdata(), [0.6])
    np.testing.assert_allclose(drawn(figure, "reading/simclr-clean")[0], 0.15)
    assert "2/3" in words(figure)
    assert "too few hits" in legend_labels(figure)
    half = 12.7062 * 0.1 / 2  # Student's t of one degree of freedom, and the SE of .1 and .2
    np.testing.assert_allclose(drawn(figure, "interval/simclr-clean")[0], [0.15 - half, 0.15 + half], rtol=1e-4)


def test_the_benign_beside_a_mean_is_that_of_the_same_runs():
    values = [(0.1, 0.0, "ok"), (0.2, 0.1, "ok"), (0.6, 0.9, "too_few_hits")]
    rows = [row(seed=seed, value=own, status=status) for seed, (own, _, status) in enumerate(values)]
    rows += [row(seed=seed, value=benign, reference="benign") for seed, (_, benign, _) in enumerate(values)]
    figure = readings(frame(*rows), measures=["neighbour_mixing"])
    assert drawn(figure, "benign/simclr-clean")[0] == pytest.approx([0.05])


def test_the_band_goes_from_one_end_to_the_other():
    ends = [row(reference=end, value=value) for end, value in (("apart", 0.9), ("together", 0.1), ("raw-pixels", 0.5))]
    figure = readings(frame(row(), *ends), measures=["neighbour_mixing"])
    (band,) = looks(figure, "band/simclr-clean")
    assert band.get_extent()[:2] == [0.9, 0.1], "darker towards together"
    assert "from apart to together" in legend_labels(figure)
    assert not looks(figure, "raw-pixels/simclr-clean"), "other references are in the tables"
    one_end = readings(frame(row(), ends[1]), measures=["neighbour_mixing"])
    assert not looks(one_end, "band/simclr-clean")
    assert drawn(one_end, "together/simclr-clean")[0] == pytest.approx([0.1, 0.1])


def test_missing_reference_is_a_reading():
    figure = readings(frame(row(reference=np.nan)), measures=["neighbour_mixing"])
    assert looks(figure, "reading/simclr-clean")


def test_bad_input():
    with pytest.raises(ValueError, match=r"measures: expected .* received mixing"):
        readings(frame(row()), measures=["mixing"])
    with pytest.raises(ValueError, match="measures: expected a sequence"):
        readings(frame(row()), measures="neighbour_mixing")
    with pytest.raises(ValueError, match=r"one reading for each run and measure .* run simclr-clean-0"):
        readings(frame(row(), row(layer="layer1")), measures=["neighbour_mixing"])
    with pytest.raises(ValueError, match="rows: expected numbers in column value, received 'high'"):
        readings(frame(row()).assign(value="high"), measures=["neighbour_mixing"])


def test_words_come_from_the_labels():
    rows = frame(row(measure="asr"), row(measure="asr", reference="benign", value=0.1))
    words = {"asr": "ASR", "benign": "benign twin", "features": "output", "triggered": "triggered images"}
    figure = readings(rows, measures=["asr"], labels=words)
    assert figure.axes[0].get_title() == "ASR"
    assert figure.axes[0].get_xlabel() == "output, triggered images"
    assert "benign twin" in legend_labels(figure)
