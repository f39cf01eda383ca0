"""Readings of learning are held back where the panel of the end says that the backdoor failed."""

import pytest
from intertwine.analysis.results.gates import failed_runs, gated
from intertwine.analysis.results.schema import EVALUABLE

from tests.factories import row, table


def test_readings_of_learning_are_gated_by_the_panel_of_the_end():
    rows = table(
        *(row("bad", "asr", 0.4), row("bad", "asr", 0.2, "benign")),
        *(row("bad", "asr", 0.9, evaluator="ridge", decides=False), row("good", "asr", 0.9)),
        *(row("good", "asr", 0.2, "benign"), row("clean", "asr", 0.1)),
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
    assert set(different.status) == {"not_evaluable"}


@pytest.mark.parametrize(("excess", "fails"), [(EVALUABLE, False), (EVALUABLE - 0.01, True)])
def test_a_run_fails_by_its_last_epoch_and_by_the_output_alone(excess, fails):
    rows = table(
        *(row("simclr-clean/seed0", "asr", 0.9, epoch=1), row("simclr-clean/seed0", "asr", 0.1, "benign", epoch=1)),
        *(row("simclr-clean/seed0", "asr", 0.5 + excess), row("simclr-clean/seed0", "asr", 0.5, "benign")),
        row("simclr-clean/seed0", "asr", 0.0, layer="layer1"),
    )
    assert failed_runs(rows) == ({"simclr-clean/seed0"} if fails else set())
