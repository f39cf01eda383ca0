"""Readings of learning are held back where the panel of the end says that the backdoor failed."""

import pytest
from intertwine.analysis.results.gates import failed_runs, gated

from tests.factories import row, table


def test_readings_of_learning_are_gated_by_the_panel_of_the_end():
    rows = table(
        *(row("bad", "asr", 0.9), row("bad", "backdoored", 0.0), row("good", "backdoored", 1.0)),
        row("clean", "asr", 0.1),
        *(row(run, "half_time_gap", 5.0) for run in ("bad", "good", "clean")),
        *(row("bad", "half_time_gap", 1.0, "benign"), row("bad", "dynamics_coupling", status="undefined")),
        *(row("bad", "neighbour_mixing", 0.1), row("bad", "transplant_gain", 0.1)),
        *(row("bad", "acc_barrier", 0.1, status="not_estimable"), row("bad", "acc", 0.1, kind="path", x=0.5)),
        row("bad", "own_gradient_alignment", 0.1, kind="matched", x=0.5),
    )
    assert failed_runs(rows) == {"bad"}
    changed = gated(rows)
    different = changed[changed.status != rows.status]
    assert list(zip(different.run, different.measure, different.reference, strict=True)) == [
        ("bad", "half_time_gap", ""),
        ("bad", "transplant_gain", ""),
        ("bad", "acc_barrier", ""),
    ]
    assert set(different.status) == {"too_few_hits"}


@pytest.mark.parametrize(("at_the_end", "fails"), [(1.0, False), (0.0, True)])
def test_a_run_fails_by_its_last_epoch(at_the_end, fails):
    run = "simclr-clean/seed0"
    rows = table(row(run, "backdoored", 1.0 - at_the_end, epoch=1), row(run, "backdoored", at_the_end))
    assert failed_runs(rows) == ({run} if fails else set())


def test_a_benign_arm_cannot_fail():
    run = "simclr-benign/seed0"
    assert failed_runs(table(row(run, "backdoored", 0.0, arm="simclr-benign"))) == set()
