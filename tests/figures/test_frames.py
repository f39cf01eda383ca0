"""Frames are checked: columns, rows and numbers, and the caller's frame stays as it is."""

import pandas as pd
import pytest
from intertwine.figures import (
    defence_map,
    dynamics,
    embeddings,
    pareto,
    readings,
    roc,
)

from tests.figures.frames import curves, frame, history, points, priced, row, tried

DRAWERS = {
    "history": (dynamics, history, "asr"),
    "points": (embeddings, points, "hit"),
    "outcomes": (defence_map, tried, "defence"),
    "curves": (roc, curves, "x"),
    "prices": (lambda outcomes: pareto(outcomes), priced, "acc_lost"),
    "rows": (lambda rows: readings(rows, measures=["neighbour_mixing"]), lambda: frame(row()), "status"),
}


@pytest.mark.parametrize("argument", DRAWERS)
def test_frames_are_checked(argument):
    draw, make, column = DRAWERS[argument]
    argument = {"prices": "outcomes"}.get(argument, argument)
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
