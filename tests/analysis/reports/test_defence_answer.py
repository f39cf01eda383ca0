"""What came of defences, for a terminal."""

import pytest
from intertwine.analysis.reports.defence_answer import defence_answer

from tests.analysis.defence_rows import ARMS, defence_study, detected, inspected
from tests.factories import table


def better_on_supervised(arm):
    return (0.6, 0.2) if arm == "simclr-clean" else (0.9, 0.9)


@pytest.mark.parametrize("width", [80, 100, 160])
def test_every_defence_and_every_verdict_is_a_line(width):
    lines = defence_answer(defence_study(better_on_supervised), "knn", width).splitlines()
    assert max(map(len, lines)) <= width
    for arm in ARMS:
        assert [line.split()[:2] for line in lines if line.startswith(arm)].count([arm, "fine-tuning"]) == 1
    verdicts = [line for line in lines if line.startswith("C5 ")]
    assert len(verdicts) == 2 * (len(ARMS) - 1)
    assert all(line.endswith("  supported") for line in verdicts)


def test_without_pairs_of_arms_there_are_tables_and_no_verdict():
    rows = [
        *detected("simclr-clean", 0, "scan", 0.812),
        *inspected("simclr-clean", 0, "decree", flagged=1.0, score=2.0),
    ]
    text = defence_answer(table(*rows), "knn")
    assert "0.812" in text
    assert "decree" in text
    assert "C5" not in text
