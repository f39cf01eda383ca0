"""Interventions on trained runs give rows whose ends are the encoders' own rates."""

import pandas as pd
import pytest
from intertwine.analysis import forgetting
from intertwine.analysis.forgetting import WAYS, measure_forgetting
from intertwine.analysis.paths import Rates
from intertwine.analysis.rows import COLUMNS, final_rows, parse_params
from intertwine.analysis.runs import load_run
from intertwine.analysis.weights import measure_path, measure_transplants, statistics_batches


@pytest.fixture(scope="module")
def pair(small_runs):
    run, floor = (
        load_run(small_runs / arm / "seed0", device="cpu") for arm in ("supervised-dirty", "clean-supervised")
    )
    return run, floor, Rates.of(run)


def at(rows, x, measure, reference="", **params):
    chosen = rows[(rows.x == x) & (rows.measure == measure) & (rows.reference == reference)]
    for key, value in params.items():
        chosen = chosen[chosen.params.str.contains(f"{key}={value}")]
    return float(chosen["value"].iloc[0])


def test_a_path_has_its_control_and_the_same_ends(pair):
    run, floor, rates = pair
    rows = measure_path(run, floor, rates, statistics_batches(run))
    assert list(rows.columns) == COLUMNS
    for measure in ("acc", "asr"):
        assert at(rows, 0.0, measure) == at(rows, 0.0, measure, "permuted")
        assert at(rows, 1.0, measure) == pytest.approx(at(rows, 1.0, measure, "permuted"), abs=0.02)
    assert set(rows[rows.x.isna()].measure) == {"acc_barrier", "asr_half_point"}
    assert set(final_rows(rows).measure) == {"acc_barrier", "asr_half_point"}, "points are no readings"


def test_transplants_are_of_every_layer_both_ways(pair):
    run, floor, rates = pair
    rows = measure_transplants(run, floor, rates, statistics_batches(run))
    readings = rows[rows.x.isna()]
    assert len(readings) == 2 * 2 * 4
    assert set(readings.layer) == {"stem", "layer1", "layer2", "layer3"}
    assert set(readings.reference) == {"", "random-direction"}


def test_forgetting_begins_at_the_trained_encoders_and_leaves_them_alone(pair):
    run, floor, rates = pair
    before = {name: x.clone() for name, x in run.encoder.state_dict().items()}
    rows = measure_forgetting(run, floor, rates, stops=(0, 1, 2))
    for way in WAYS:
        assert (at(rows, 0.0, "acc", way=way), at(rows, 0.0, "asr", way=way)) == rates(run.encoder)
        assert at(rows, 0.0, "acc", "floor", way=way) == rates(floor.encoder)[0]
    assert all((x == before[name]).all() for name, x in run.encoder.state_dict().items())
    readings = rows[rows.x.isna()]
    assert len(readings) == 2 * len(WAYS)
    assert set(readings.status) <= {"ok", "undefined", "not_evaluable"}
    again = measure_forgetting(run, floor, rates, stops=(0, 1, 2))
    pd.testing.assert_frame_equal(rows, again)


def test_a_method_without_a_loss_of_its_own_kind_says_so_way_by_way(pair, monkeypatch):
    monkeypatch.setattr(forgetting, "OWN", ())
    rows = measure_forgetting(*pair, stops=(0, 1))
    missing = rows[rows.params.str.contains("there is no loss to go on with")]
    assert [parse_params(p)["way"] for p in missing.params] == ["benign-only", "backdoor-only"]
    assert set(missing.status) == {"undefined"}


def test_a_coupling_is_read_only_where_a_backdoor_was_there_and_went():
    known = forgetting._coupling("ascent", [0.9, 0.8], [1.0, 0.5], 0.9)
    assert known.value == pytest.approx(0.2)
    assert forgetting._coupling("ascent", [0.9, 0.8], [0.2, 0.1], 0.2).status == "not_evaluable"
    stayed = forgetting._coupling("ascent", [0.9, 0.8], [1.0, 0.9], 0.9)
    assert stayed.status == "undefined"
    assert parse_params(stayed.params)["reason"] == "ASR falls by less than 0.3"
