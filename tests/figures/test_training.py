"""Alignment along training as a map."""

import numpy as np
import pandas as pd
import pytest
from intertwine.figures import (
    alignment_map,
)

from tests.figures.frames import ARMS, LAYERS, followed, frame, row


def cells(figure, position):
    return np.asarray(np.ma.filled(figure.axes[position].collections[0].get_array(), np.nan), dtype=float)


def test_cells_are_means_over_runs_and_their_difference_to_the_benign():
    figure = alignment_map(followed(), layers=LAYERS)
    assert [axes.get_title() for axes in figure.axes[:4]] == [
        *("supervised-dirty", "minus its benign twin"),
        *("simclr-clean", "minus its benign twin"),
    ]
    expected = np.array([[0.01, 0.11, 0.41]] * 3)
    assert cells(figure, 0) == pytest.approx(expected)
    assert cells(figure, 1) == pytest.approx(expected - 0.05)
    assert [text.get_text() for text in figure.axes[0].get_yticklabels()] == LAYERS, "the deepest on top"
    edges = figure.axes[0].collections[0].get_coordinates()[0, :, 0]
    np.testing.assert_allclose(edges, [-0.5, 0.5, 2.5, 5.5], err_msg="columns as wide as epochs are apart")


def test_what_no_run_has_is_a_cross():
    rows = followed()
    rows.loc[(rows.layer == "stem") & (rows.epoch == 4) & (rows.arm == "simclr-clean"), "value"] = np.nan
    figure = alignment_map(rows, layers=LAYERS)
    crosses = [len(axes.lines[0].get_xdata()) for axes in figure.axes[:4]]
    assert crosses == [0, 0, 1, 1]


def test_a_value_that_is_not_told_from_noise_is_not_drawn():
    rows = followed(("simclr-clean",))
    rows.loc[rows.layer == "stem", ["value", "status"]] = [0.9, "not_estimable"]
    figure = alignment_map(rows, layers=LAYERS)
    assert [len(axes.lines[0].get_xdata()) for axes in figure.axes[:2]] == [3, 3]


def test_the_difference_is_that_of_the_runs_that_have_both():
    """Seed 1's benign twin is missing: its high reading must not be held against seed 0's benign twin."""
    rows = followed(("simclr-clean",))
    rows.loc[(rows.seed == 1) & (rows.reference == ""), "value"] = 0.9
    rows.loc[(rows.seed == 1) & (rows.reference == "benign"), "value"] = np.nan
    assert cells(alignment_map(rows, layers=LAYERS), 1) == pytest.approx(np.array([[-0.05, 0.05, 0.35]] * 3))


def test_arms_that_do_not_fill_the_last_line_are_drawn_too():
    arms = [*ARMS[2:], "supcon-dirty", "supcon-clean"]
    figure = alignment_map(followed(arms), layers=LAYERS)
    maps = figure.findobj(lambda artist: str(artist.get_gid()).startswith("map/"))
    assert len(maps) == 2 * len(arms)
    single = alignment_map(followed(arms), layers=LAYERS, differences=False)
    assert len(single.findobj(lambda artist: str(artist.get_gid()).startswith("map/"))) == len(arms)


def test_arms_that_were_read_once_make_no_map():
    rows = pd.concat([followed(), followed(("supcon-benign",), epochs=(4,))])
    titles = [axes.get_title() for axes in alignment_map(rows, layers=LAYERS).axes]
    assert not any("supcon-benign" in title for title in titles)


def test_rows_of_another_measure_are_refused():
    with pytest.raises(ValueError, match="rows: expected rows of interference at stem, received none"):
        alignment_map(frame(row(epoch=1)), layers=["stem"])


def test_colours_end_at_the_98th_percentile_and_the_bar_fits():
    rows = followed(("simclr-clean",), epochs=range(40))
    rows["value"] = 0.3
    rows.loc[rows.index[0], "value"] = 1.0
    figure = alignment_map(rows, layers=LAYERS, width=3.3)
    assert figure.axes[0].collections[0].norm.vmax == pytest.approx(0.3)
    box = figure.axes[-1].get_tightbbox()
    assert figure.bbox.x0 <= box.x0
    assert box.x1 <= figure.bbox.x1
