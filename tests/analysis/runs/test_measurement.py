"""A run's panel as rows, and the tables beside it."""

import pandas as pd
import pytest
from intertwine.analysis.panel import PanelOptions
from intertwine.analysis.results.table import read_rows
from intertwine.analysis.runs import measurement
from intertwine.analysis.runs.measurement import measure_folder, measure_run
from intertwine.representations.errors import InputError

from tests.analysis.schema_checks import must_fit_schema, must_name_tables
from tests.factories import select, typed

SMALLEST = PanelOptions("cheap", images=100, bank=100)


@pytest.fixture(scope="module")
def rows(small_pair):
    return measure_run(*small_pair, SMALLEST)


def test_rows_are_of_the_run_with_its_native_head_and_its_poisons(rows, small_pair, tmp_path):
    must_fit_schema(rows, tmp_path)
    run = small_pair[0]
    assert set(rows.run) == {run.name}
    assert set(rows.plan) == {run.experiment.plan.hash[:8]}
    assert set(rows.epoch) == {2}
    assert set(rows.evaluator) == {"", "knn", "ridge", "native"}
    assert set(rows[rows.reference == "benign"].other_run) == {"supervised-benign/seed0"}
    own = select(rows, "asr")
    assert own.note.str.contains(f"{run.experiment.plan.count} poisons").all()


def test_rates_are_those_of_the_benign_twin_and_of_all_images(rows, small_pair):
    """An ASR says nothing without that of the clean encoder, which is what that measures of itself."""
    run, benign = small_pair
    asr = select(rows, "asr", "benign").set_index("evaluator")["value"]
    assert set(asr.index) == {"knn", "ridge", "native"}
    itself = measure_run(benign, None, PanelOptions("asr", images=100, bank=100, layers=["features"]))
    assert asr.equals(select(itself, "asr").set_index("evaluator").loc[["knn", "ridge", "native"], "value"])
    assert set(select(rows, "acc").n) == {len(run.experiment.test)}


def test_the_last_snapshot_is_the_trained_encoder_with_its_head(rows, small_pair):
    last = measure_run(*small_pair, SMALLEST, epoch=2)
    pd.testing.assert_frame_equal(typed(last), typed(rows))
    first = measure_run(*small_pair, PanelOptions("asr", images=100, bank=100, layers=["features"]), epoch=0)
    assert set(first.epoch) == {0}
    values = {r: select(first, "asr", r, evaluator="knn")["value"].item() for r in ("", "benign")}
    assert values[""] == values["benign"], "before training an arm is its benign twin"


def test_every_draw_is_by_the_runs_own_seed(small_pair):
    from dataclasses import replace

    options = PanelOptions("silhouette", images=100, bank=100, layers=["features"])
    once, again = (measure_run(small_pair[0], None, replace(options, seed=seed)) for seed in (0, 5))
    pd.testing.assert_frame_equal(once, again)


def test_a_twin_of_another_arm_is_refused(small_pair):
    with pytest.raises(InputError, match="expected a run of supervised-benign for supervised-dirty"):
        measure_run(small_pair[0], small_pair[0], SMALLEST)


def test_all_tables_are_written_beside_each_other(small_runs, tmp_path, monkeypatch):
    folders = [small_runs / arm / "seed0" for arm in ("supervised-dirty", "supervised-benign")]
    written = measure_folder(*folders, SMALLEST, out=tmp_path)
    assert must_name_tables(written) == {
        *("rows.csv", "embedding.csv", "spectrum.csv", "triggers.npz", "thumbnails.npz")
    }
    assert {path.parent for path in written} == {tmp_path}
    monkeypatch.setattr(measurement, "embed_run", None)
    alone = measure_folder(folders[0], None, SMALLEST, out=tmp_path / "alone", embed=False)
    assert [path.name for path in alone] == ["rows.csv"]
    assert "benign" not in set(read_rows(alone[0])["reference"])
