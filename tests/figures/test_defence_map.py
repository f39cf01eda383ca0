"""Cells are means over seeds."""

import numpy as np
import pytest
from intertwine.figures import (
    defence_map,
)

from tests.figures.frames import TITLES, looks, tried, words


def cells(figure, measure):
    (mesh,) = looks(figure, f"map/{measure}")
    return np.asarray(mesh.get_array().filled(np.nan), dtype=float)


def test_cells_are_means_over_seeds_as_colour_and_number():
    figure = defence_map(tried(), titles=TITLES)
    assert [axes.get_title(loc="left") for axes in figure.axes] == list(TITLES.values())
    assert cells(figure, "asr") == pytest.approx(np.full((2, 2), 0.25))
    assert cells(figure, "acc_lost") == pytest.approx(np.full((1, 2), 0.15))
    assert [text.get_text() for text in figure.axes[2].get_yticklabels()] == ["c", "d"]
    assert words(figure).count("0.85") == 4
    assert "2 seeds" in words(figure)


def test_a_cell_without_a_value_is_a_cross():
    rows = tried()
    rows.loc[(rows.defence == "c") & (rows.arm == "simclr-clean"), "value"] = np.nan
    figure = defence_map(rows[~((rows.defence == "d") & (rows.arm == "simclr-clean"))], titles=TITLES)
    assert words(figure).count("×") == 2
    fewer = rows.drop(rows[(rows.defence == "a") & (rows.seed == 1)].index)
    assert "1 to 2 seeds a cell" in words(defence_map(fewer, titles=TITLES))
    assert np.isnan(cells(figure, "auroc")[:, 1]).all()


def test_measures_without_colours_are_refused():
    with pytest.raises(ValueError, match="titles: expected measures of asr, acc_lost, auroc, received cka"):
        defence_map(tried(), titles={"cka": "CKA"})
