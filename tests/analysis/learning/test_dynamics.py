"""Rows along a run's training: a few readings, own alignment and curves, epoch by epoch."""

import pandas as pd
import pytest
from intertwine.analysis.learning import dynamics
from intertwine.analysis.learning.dynamics import measure_dynamics
from intertwine.analysis.panel import PanelOptions
from intertwine.analysis.panel.reading_sets import ALONG_TRAINING
from intertwine.analysis.results.reading import Reading
from intertwine.analysis.runs.measurement import measure_run

from tests.analysis.schema_checks import must_fit_schema
from tests.factories import few_blocks, row, select, table

FEW = PanelOptions(images=100, bank=100)


@pytest.fixture(scope="module")
def told(learned):
    """Run, benign twin, rows and log."""
    run, benign, lines = learned("supervised-dirty"), learned("supervised-benign"), []
    with few_blocks():
        return run, benign, measure_dynamics(run, benign, FEW, log=lines.append), lines


def test_every_snapshot_has_a_panel_and_every_epoch_its_curves(told, tmp_path):
    _, _, rows, lines = told
    must_fit_schema(rows, tmp_path)
    assert set(select(rows, "displacement_cosine", subset="triggered").epoch) == {0, 1, 2, 3}
    assert lines[0] == "supervised-dirty/seed0: epoch 0 of 3"
    assert len(lines) == 4
    assert set(select(rows, "loss_rank_auc").epoch) == {1, 2, 3}
    for measure in ("acc_windowed", "asr_windowed", "r_acc_windowed", "half_time_gap"):
        assert set(select(rows, measure).epoch) == {3}


def test_a_snapshots_rows_are_those_of_its_panel(told):
    run, benign, rows, _ = told
    with few_blocks():
        expected = measure_run(run, benign, PanelOptions(ALONG_TRAINING, images=100, bank=100), epoch=3)
    found = rows[(rows.epoch == 3) & rows.measure.isin(set(expected.measure))].head(len(expected))
    pd.testing.assert_frame_equal(found.reset_index(drop=True), expected, check_dtype=False)


def test_before_training_an_arm_is_its_benign_twin(told):
    start = told[2][told[2].epoch == 0]
    values = {r: select(start, "displacement_cosine", r)["value"].item() for r in ("", "benign")}
    assert values[""] == values["benign"]


def test_whoever_has_measured_the_trained_encoder_leaves_out_its_panel(told, monkeypatch):
    run, asked = told[0], []

    def panel_of(run, benign, options, *, epoch):
        asked.append((benign, options.readings, epoch))
        return table(*(row(run.name, rate, 0.5, epoch=epoch) for rate in ("acc", "asr")))

    monkeypatch.setattr(dynamics, "measure_run", panel_of)
    monkeypatch.setattr(dynamics, "own_alignment", lambda run, other, epoch: {"all": Reading(0.1)})
    rows = measure_dynamics(run, None, FEW, panel_at_end=False)
    assert asked == [(None, ALONG_TRAINING, epoch) for epoch in (0, 1, 2)]
    assert set(select(rows, "own_gradient_alignment").epoch) == {0, 1, 2, 3}
    assert "benign" not in set(rows.reference)
