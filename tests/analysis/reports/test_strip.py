"""A reading between its two ends, as text."""

import math

import pytest
from intertwine.analysis.reports.strip import BESIDES, strip

LEFT_OUT, FIRST, LAST, RIGHT_OUT = 0, 2, 12, 14


def columns(drawn, mark):
    return [i for i, cell in enumerate(drawn) if cell == mark]


@pytest.mark.parametrize(
    ("value", "ends", "column"),
    [
        (0.0, (0, 1), FIRST),
        (1.0, (0, 1), LAST),
        (0.5, (0, 1), 7),
        (0.2, (0.5, 0.0), 8),  # where together is the lower end
        (-0.3, (0, 1), LEFT_OUT),
        (1.3, (0, 1), RIGHT_OUT),
        (0.9, (0.5, 0.0), LEFT_OUT),
        (-0.02, (0, 1), FIRST),  # less than half a column
    ],
)
def test_the_mark_is_where_the_value_lies(value, ends, column):
    drawn = strip(value, (math.nan, math.nan), ends, width=11)
    assert len(drawn) == 11 + BESIDES
    assert columns(drawn, "●") == [column]


def test_the_interval_and_the_twin_are_drawn_too():
    drawn = strip(0.5, (0.3, 0.8), (0, 1), 0.1, width=11)
    assert columns(drawn, "─") == [5, 6, 8, 9, 10]
    assert columns(drawn, "│") == [3]
    assert columns(strip(0.5, (0.3, 0.8), (0, 1), 0.5, width=11), "◉") == [7]
    beyond = strip(0.5, (-1, 2), (0, 1), width=11)
    assert (beyond[0], beyond[1], beyond[13], beyond[14]) == ("─", "├", "┤", "─"), "brackets stay"


@pytest.mark.parametrize(
    ("value", "ends"), [(math.nan, (0, 1)), (0.5, (math.nan, 1)), (0.5, (0, math.nan)), (0.5, (0.3, 0.3))]
)
def test_without_a_value_or_two_ends_there_is_none(value, ends):
    assert strip(value, (0.1, 0.2), ends, width=11) == ""
