"""Logistic probes beside their control task."""

import pytest
from intertwine.analysis.panel import PanelOptions, panel
from intertwine.analysis.panel.reading_sets import ReadingSet

from tests.factories import one

PAIR = "clean_target~triggered_target"


def test_they_are_read_by_name_beside_their_control_task(planted):
    args, more = planted(1.0, 0.6)
    probes = frozenset({"class_probe", "trigger_probe"})
    rows = panel(*args, **more, options=PanelOptions(ReadingSet(probes, references=frozenset({"benign"})),
                                                     layers=["features"]))  # fmt: skip
    read_off, wiped = (one(rows, "class_probe", subset=s) for s in ("clean", "triggered"))
    assert read_off.value > 0.95
    assert read_off.ci_low < read_off.value <= read_off.ci_high
    assert "memorised" in read_off.note
    assert wiped.value < 0.5  # four source classes, all sent to one place
    assert one(rows, "class_probe", "permuted", subset="clean").value == pytest.approx(0.2, abs=0.1)
    assert one(rows, "trigger_probe", subset=PAIR).value > 0.95
    for reference in ("permuted", "benign"):
        assert one(rows, "trigger_probe", reference, subset=PAIR).value == pytest.approx(0.5, abs=0.15)
