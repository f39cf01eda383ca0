"""Cells are means over seeds."""

import numpy as np
import pytest
from intertwine.figures import (
    defence_map,
)

from tests.figures.frames import looks, tried, words


def cells(figure, measure):
    (mesh,) = looks(figure, f"map/{measure}")
    return np.asarray(np.ma.filled(mesh.get_array(), np.nan), dtype=float)


def test_cells_are_means_over_seeds_as_colour_and_number():
    figure = defence_map(tried(), untreated="a", width=7)
    assert [axes.get_title() for axes in figure.axes] == ["ASR left (ACC lost), 2 seeds", "AUROC of detectors, 2 seeds"]
    assert cells(figure, "asr") == pytest.approx(np.full((2, 2), 0.25))
    assert [text.get_text() for text in figure.axes[1].get_yticklabels()] == ["c", "d"]
    assert words(figure).count("0.85") == 4
    assert words(figure).count("0.25 (0.15)") == words(figure).count("0.25") == 2, "no treatment costs nothing"


def test_what_leaves_least_is_on_top_below_no_treatment():
    rows = tried()
    rows.loc[rows.defence == "b", "value"] -= 0.2
    for untreated, expected in (("a", ["a", "B"]), ("none", ["B", "a"])):
        figure = defence_map(rows, untreated=untreated, labels={"b": "B"})
        assert [text.get_text() for text in figure.axes[0].get_yticklabels()] == expected


def test_a_narrow_cell_has_no_room_for_the_cost():
    figure = defence_map(tried(), width=2.3)
    assert figure.axes[0].get_title() == "ASR left, 2 seeds"


def test_a_cell_without_a_value_is_a_cross():
    rows = tried()
    rows.loc[(rows.defence == "c") & (rows.arm == "simclr-clean"), "value"] = np.nan
    figure = defence_map(rows[~((rows.defence == "d") & (rows.arm == "simclr-clean"))])
    assert words(figure).count("×") == 2
    assert np.isnan(cells(figure, "auroc")[:, 1]).all()
    fewer = rows.drop(rows[(rows.defence == "a") & (rows.seed == 1)].index)
    assert "1 to 2 seeds" in defence_map(fewer).axes[0].get_title()


def test_other_measures_are_refused():
    with pytest.raises(ValueError, match="outcomes: expected measures of asr, acc_lost, auroc, received cka"):
        defence_map(tried().assign(measure="cka"))
