"""Alignment by layer: heights are the values, and what is not ok is hollow."""

import numpy as np
import pandas as pd
import pytest
from intertwine.figures import (
    ARM_STYLES,
    alignment,
)

from tests.figures.frames import ARMS, LAYERS, drawn, frame, legend_labels, looks, row


def aligned(**more):
    records = []
    for arm in ARMS[2:]:
        for i, layer in enumerate(LAYERS):
            for reference, value in (("", -0.3 * i), ("benign", 0.1 * i), ("random-trigger", 0.05)):
                records.append(row(arm, measure="interference", layer=layer, reference=reference, value=value, **more))
    return frame(*records)


def test_heights_are_the_values_in_the_order_of_layers():
    figure = alignment(aligned(), layers=LAYERS[::-1])
    assert [axes.get_title() for axes in figure.axes] == ARMS[2:]
    for i, layer in enumerate(LAYERS):
        x, y = drawn(figure, f"reading/simclr-clean/{layer}")
        assert (round(x[0]), y[0]) == (2 - i, -0.3 * i)
        assert drawn(figure, f"benign/simclr-clean/{layer}")[1] == 0.1 * i
        ends = drawn(figure, f"interval/reading/simclr-clean/{layer}")[1]
        np.testing.assert_allclose(ends, [-0.3 * i - 0.1, -0.3 * i + 0.2])
    assert {"reading", "benign", "random trigger"} <= set(legend_labels(figure))
    benign = looks(figure, "benign/simclr-clean/stem")[0]
    assert benign.get_color() == ARM_STYLES["simclr-clean"].color


def test_references_beside_a_mean_are_those_of_the_same_runs():
    """At each layer: a run that is left out at one counts at another."""
    own, benign_twins = aligned(), aligned()
    own["status"] = np.where((own["reference"] == "") & (own["layer"] == "stem"), "not_estimable", "ok")
    own, benign_twins = (f.assign(seed=s, run=f["arm"] + f"-{s}") for s, f in enumerate((own, benign_twins)))
    own.loc[own["reference"] == "benign", "value"] = 0.8
    figure = alignment(pd.concat([own, benign_twins]), layers=LAYERS)
    assert drawn(figure, "benign/simclr-clean/stem")[1] == pytest.approx([0.0]), "of the other run alone"
    assert drawn(figure, f"benign/simclr-clean/{LAYERS[1]}")[1] == pytest.approx([(0.8 + 0.1) / 2])
    own["status"] = np.where(own["reference"] == "", "not_estimable", "ok")
    figure = alignment(own, layers=LAYERS)
    assert drawn(figure, "benign/simclr-clean/stem")[1] == pytest.approx([0.8]), "where no reading counts, all do"


def test_the_axis_ends_at_one_and_what_is_beyond_is_an_arrow():
    rows = aligned()
    assert not looks(alignment(rows, layers=LAYERS), "beyond")
    rows.loc[0, ["value", "ci_low", "ci_high"]] = [1.3, 0.9, 1.6]
    figure = alignment(rows, layers=LAYERS)
    low, high = figure.axes[0].get_ylim()
    assert 1 <= high < 1.2
    assert low > -1, "no further than the data"
    marks = looks(figure, "beyond")
    assert {mark.get_marker() for mark in marks} == {"^"}
    assert {mark.get_ydata()[0] for mark in marks} == {high}


def test_not_estimable_is_hollow_and_leaves_the_line():
    rows = aligned()
    mark = (rows["arm"] == "simclr-clean") & (rows["reference"] == "")
    rows.loc[mark & (rows["layer"] == "layer1"), ["status", "ci_low", "ci_high"]] = ["not_estimable", -40.0, 40.0]
    rows.loc[mark & (rows["layer"] == "stem"), ["status", "value"]] = ["not_estimable", np.nan]
    figure = alignment(rows, layers=LAYERS)
    (point,) = looks(figure, "reading/simclr-clean/layer1")
    assert point.get_ydata()[0] == -0.3
    assert point.get_markerfacecolor() == "white"
    assert figure.axes[0].get_ylim()[1] < 2  # its interval does not squash the others
    assert {"not estimable", "no value: not estimable"} <= set(legend_labels(figure))
    (cross,) = looks(figure, "no-value/")
    assert round(cross.get_xdata()[0]) == 0
    joined = [line for line in figure.axes[2].lines if len(line.get_xdata()) == 3 and line.get_linestyle() == "-"]
    assert np.isnan(joined[0].get_ydata()[:2]).all()


def test_several_seeds():
    rows = pd.concat([aligned(seed=seed, run=f"r{seed}") for seed in range(2)]).reset_index(drop=True)
    rows["run"] += rows["arm"]
    rows["value"] += 0.2 * rows["seed"]
    rows.loc[rows.index[-3:-2], ["value", "status"]] = [np.nan, "not_estimable"]  # simclr-clean, features, seed 1
    figure = alignment(rows, layers=LAYERS)
    np.testing.assert_allclose(drawn(figure, "reading/simclr-clean/layer1")[1], [-0.2])
    np.testing.assert_allclose(drawn(figure, "reading/simclr-clean/features")[1], [-0.6])
    assert "no value: not estimable" in legend_labels(figure)
    assert "mean of runs" in legend_labels(figure)


def test_bad_input():
    with pytest.raises(ValueError, match=r"layers: expected .* received layer9"):
        alignment(aligned(), layers=["stem", "layer9"])
    with pytest.raises(ValueError, match="rows: expected rows of the measure interference, received none"):
        alignment(frame(row()), layers=["features"])
    with pytest.raises(ValueError, match="one reading for each run and layer"):
        alignment(pd.concat([aligned(), aligned(epoch=2)]), layers=LAYERS)
