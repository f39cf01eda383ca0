"""Interventions on trained runs give rows whose ends are the encoders' own rates."""

from dataclasses import replace

import pandas as pd
import pytest
from intertwine.analysis import forgetting
from intertwine.analysis import matched as matched_asr
from intertwine.analysis.claims import judge
from intertwine.analysis.forgetting import WAYS, measure_forgetting
from intertwine.analysis.matched import ASR_LEVEL, matched_rows, measure_matched
from intertwine.analysis.paths import Rates, path_points
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
    assert [parse_params(p)["way"] for p in missing.params] == ["benign-only"]
    assert set(missing.status) == {"undefined"}


def test_a_coupling_is_read_only_where_a_backdoor_was_there_and_went():
    known = forgetting._coupling("ascent", [0.9, 0.8], [1.0, 0.5], 0.9)
    assert known.value == pytest.approx(0.2)
    assert forgetting._coupling("ascent", [0.9, 0.8], [0.2, 0.1], 0.2).status == "not_evaluable"
    stayed = forgetting._coupling("ascent", [0.9, 0.8], [1.0, 0.9], 0.9)
    assert stayed.status == "undefined"
    assert parse_params(stayed.params)["reason"] == "ASR falls by less than 0.3"


# --- matched ASR


@pytest.fixture(scope="module")
def matched(pair):
    return measure_matched(*pair)


def test_the_matched_trigger_is_the_weakest_that_reaches_the_level(pair, matched):
    run, _, rates = pair
    strength = float(matched[matched.measure == "matched_strength"]["value"].iloc[0])
    path = path_points(matched, "strength")
    asr = path[path.measure == "asr"].set_index("x")["value"]
    if strength != strength:
        assert asr.max() < ASR_LEVEL
        assert list(asr.index) == [i / 10 for i in range(1, 11)]
        return
    assert asr[strength] >= ASR_LEVEL
    weaker = asr[asr.index < strength]
    assert (weaker < ASR_LEVEL).all()
    assert strength - weaker.index.max() < 0.0063  # a tenth, halved four times
    trigger = replace(run.experiment.test_trigger, strength=run.experiment.test_trigger.strength * strength)
    assert replace(rates, trigger=trigger)(run.encoder)[1] == asr[strength]


def test_matched_readings_do_not_pass_for_readings_at_full_strength(matched):
    assert set(final_rows(matched).measure) == {"matched_strength"}
    chosen = matched_rows(matched)
    assert {"neighbour_mixing", "gradient_alignment"} <= set(chosen.measure)
    assert {"", "floor"} <= set(chosen.reference)
    assert set(judge(chosen).claim) == {"C2"}


def test_an_arm_that_never_reaches_the_level_is_not_evaluable(pair, monkeypatch):
    monkeypatch.setattr(matched_asr, "ASR_LEVEL", 1.01)
    rows = measure_matched(*pair)
    assert set(rows[rows.x.isna()].status) == {"undefined"}
    verdicts = judge(matched_rows(rows))
    assert set(verdicts.verdict) == {"not evaluable"}
    assert verdicts.why.str.contains("reading is undefined and floor is undefined").all()
