"""Tables as text: whatever the width, no cell is cut."""

import re

import pytest
from intertwine.analysis.reports.text_table import text_table

NAMES = ("reading", "value", "95 % interval", "benign twin", "status")
ROWS = [
    ("smaller_side_mixing (hits)", "0.000", "[0.000, 0.155]", "0.001", "ok"),
    ("displacement_cosine (clean_other~triggered)", "-0.453", "[-0.500, -0.401]", "–", "not_estimable"),
    ("mediation_excess (hits)", "0.760", "–", "", "a longer remark that goes on for a while, and then for another"),
]


@pytest.mark.parametrize("width", [40, 60, 80, 100, 160])
def test_every_word_is_there_and_no_line_is_too_long(width):
    shown = text_table(NAMES, ROWS, width)
    assert max(map(len, shown.splitlines())) <= width
    assert "…" not in shown
    for row in ROWS:
        for cell in row:
            for word in cell.split():
                assert word in shown.replace("\n", " ").split() or word == "–"
    for whole in re.findall(r"\[.*?\]", " ".join(map(" ".join, ROWS))):
        assert whole in shown, "an interval stays on one line"


def test_rows_are_lines_where_there_is_room_and_blocks_where_there_is_none():
    short = [row[:4] for row in ROWS]
    wide, narrow = (text_table(NAMES[:4], short, width).splitlines() for width in (160, 50))
    assert len(wide) == 2 + len(ROWS)
    assert [line for line in narrow if not line.startswith(" ")] == [row[0] for row in ROWS]
    assert not any("benign twin –" in line for line in narrow), "what is empty is left out of a block"


def test_a_word_that_is_longer_than_the_line_is_kept_whole():
    assert "x" * 50 in text_table(("name", "value"), [("x" * 50, "1")], 30)


def test_first_columns_may_be_lines_of_their_own():
    rows = [("C2", "one", "a", "1"), ("", "", "b", "2"), ("C3", "", "a", "3")]
    assert text_table(("claim", "arm", "part", "p"), rows, 40, head=2).splitlines() == [
        *("  part  p", "  ────  ─", "C2  arm one", "  a     1", "  b     2", "C3", "  a     3")
    ]
