"""Frames are checked: columns, rows and numbers, and the caller's frame stays as it is."""

import pandas as pd
import pytest
from intertwine.figures import (
    arrows,
    defence_map,
    dynamics,
    embeddings,
    readings,
    roc,
)

from tests.figures.frames import TITLES, curves, frame, history, moved, points, row, tried

DRAWERS = {
    "history": (dynamics, history, "asr"),
    "points": (embeddings, points, "hit"),
    "outcomes": (lambda outcomes: defence_map(outcomes, titles=TITLES), tried, "defence"),
    "curves": (roc, curves, "x"),
    "moves": (lambda moves: arrows(moves, x_label="", y_label=""), moved, "before_x"),
    "rows": (lambda rows: readings(rows, measures=["neighbour_mixing"]), lambda: frame(row()), "status"),
}


@pytest.mark.parametrize("argument", DRAWERS)
def test_frames_are_checked(argument):
    draw, make, column = DRAWERS[argument]
    with pytest.raises(ValueError, match=rf"{argument}: expected the columns .*; missing {column}; received .*arm"):
        draw(make().drop(columns=column))
    with pytest.raises(ValueError, match=rf"{argument}: expected at least one row, received an empty frame"):
        draw(make().iloc[:0])
    with pytest.raises(ValueError, match=rf"{argument}: expected a pandas DataFrame, received list"):
        draw([1, 2])
    table = make()
    before = table.copy()
    draw(table)
    pd.testing.assert_frame_equal(table, before)  # the caller's frame is not touched
