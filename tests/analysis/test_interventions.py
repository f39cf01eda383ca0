"""Interventions on trained runs: rows whose ends are the encoders' own rates, on a backdoor that works and on one that
does not."""

from dataclasses import replace

import pandas as pd
import pytest
from intertwine.analysis.claims.learning_claims import judge
from intertwine.analysis.learning import forgetting
from intertwine.analysis.learning import matched_asr as matched_asr
from intertwine.analysis.learning.forgetting import WAYS, measure_forgetting
from intertwine.analysis.learning.matched_asr import ASR_LEVEL, matched_rows, measure_matched
from intertwine.analysis.learning.paths import Rates, path_points
from intertwine.analysis.learning.weight_interpolation import measure_path, measure_transplants, statistics_batches
from intertwine.analysis.results.gates import failed_runs, gated
from intertwine.analysis.results.schema import COLUMNS
from intertwine.analysis.results.table import final_rows, parse_params
from intertwine.analysis.runs.measurement import measure_run
from intertwine.analysis.runs.run import load_run
from intertwine.training import fit, read_recipe

# Little augmentation and every image of a class poisoned: the backdoor is learned in two seconds.
QUICK = {
    **{"n_train": 400, "n_test": 200, "width": 6, "epochs": 8, "batch": 50, "name": "quick", "poison_fraction": 1.0},
    **{"crop": 0.5, "jitter_p": 0.0, "grayscale": 0.0, "strength": 0.5},
}


@pytest.fixture(scope="module")
def pair(tmp_path_factory):
    """A run whose backdoor works, its clean twin, and its rates."""
    folder = tmp_path_factory.mktemp("quick")
    run, benign = (
        load_run(fit(read_recipe("digits-demo", arm=arm, **QUICK), folder / arm), device="cpu")
        for arm in ("supervised-dirty", "supervised-benign")
    )
    rates = Rates.of(run)
    assert rates(run.encoder)[1] > 0.8
    assert rates(benign.encoder)[1] < 0.3
    return run, benign, rates


@pytest.fixture(scope="module")
def failed(small_runs):
    """The same of a run whose backdoor does not."""
    run, benign = (
        load_run(small_runs / arm / "seed0", device="cpu") for arm in ("supervised-dirty", "supervised-benign")
    )
    return run, benign, Rates.of(run)


def at(rows, x, measure, reference="", **params):
    chosen = rows[(rows.x == x) & (rows.measure == measure) & (rows.reference == reference)]
    for key, value in params.items():
        chosen = chosen[chosen.params.str.contains(f"{key}={value}")]
    (value,) = chosen["value"]
    return float(value)


def reading(rows, measure, reference="", **where):
    chosen = rows[rows.x.isna() & (rows.measure == measure) & (rows.reference == reference)]
    for column, value in where.items():
        chosen = chosen[chosen[column] == value]
    (row,) = chosen.to_dict("records")
    return row


def test_rates_are_those_of_the_panel(pair):
    run, _, rates = pair
    rows = measure_run(run, readings=["acc"])
    knn = rows[(rows.reference == "") & rows.params.str.contains("evaluator=knn")].set_index("measure")["value"]
    assert rates(run.encoder) == pytest.approx((knn["acc"], knn["asr"]))


# --- between the weights


def test_a_path_has_its_control_and_the_same_ends(pair):
    run, benign, rates = pair
    rows = measure_path(run, benign, rates, statistics_batches(run))
    assert list(rows.columns) == COLUMNS
    for measure in ("acc", "asr"):
        assert at(rows, 0.0, measure) == at(rows, 0.0, measure, "permuted")
        assert at(rows, 1.0, measure) == pytest.approx(at(rows, 1.0, measure, "permuted"), abs=0.02)
    assert at(rows, 1.0, "asr") > 0.6
    assert reading(rows, "acc_barrier")["status"] == "ok"
    half = reading(rows, "asr_half_point")
    assert half["status"] == "ok"
    below, above = (at(rows, x, "asr") for x in (int(half["value"] * 10) / 10, int(half["value"] * 10 + 1) / 10))
    assert below < (at(rows, 0.0, "asr") + at(rows, 1.0, "asr")) / 2 <= above
    assert set(final_rows(rows).measure) == {"acc_barrier", "asr_half_point"}, "points are no readings"


def test_transplants_are_shares_of_the_attack_both_ways(pair):
    run, benign, rates = pair
    rows = measure_transplants(run, benign, rates, statistics_batches(run))
    readings = rows[rows.x.isna()]
    assert len(readings) == 2 * 2 * 4
    assert set(readings.status) == {"ok"}
    clean, poisoned = (at(rows, -1, "asr", into=into) for into in ("clean", "poisoned"))
    for depth, layer in enumerate(["stem", "layer1", "layer2", "layer3"]):
        for measure, into, before, sign in (
            ("transplant_gain", "clean", clean, 1),
            ("transplant_loss", "poisoned", poisoned, -1),
        ):
            for reference in ("", "random-direction"):
                share = sign * (at(rows, depth, "asr", reference, into=into) - before) / (poisoned - clean)
                assert reading(rows, measure, reference, layer=layer)["value"] == pytest.approx(share)
    of_layers = readings[readings.reference == ""]["value"]
    assert of_layers.max() > 0.2, "some layer carries a part of it"
    assert of_layers.min() > -0.2


# --- forgetting


def test_forgetting_begins_at_the_trained_encoders_and_leaves_them_alone(pair):
    run, benign, rates = pair
    before = {name: x.clone() for name, x in run.encoder.state_dict().items()}
    rows = measure_forgetting(run, benign, rates, stops=(0, 1, 4, 16))
    for way in WAYS:
        assert (at(rows, 0.0, "acc", way=way), at(rows, 0.0, "asr", way=way)) == rates(run.encoder)
        assert at(rows, 0.0, "acc", "benign", way=way) == rates(benign.encoder)[0]
    assert all((x == before[name]).all() for name, x in run.encoder.state_dict().items())
    readings = rows[rows.x.isna()]
    assert len(readings) == 2 * len(WAYS) == 6
    ascent = readings[readings.params.str.contains("way=ascent")]
    assert set(ascent.status) == {"ok"}, "going up on the poisons' loss unlearns them"
    lost_acc = [at(rows, 0.0, "acc", way="ascent") - at(rows, x, "acc", way="ascent") for x in (1.0, 4.0, 16.0)]
    lost_asr = [at(rows, 0.0, "asr", way="ascent") - at(rows, x, "asr", way="ascent") for x in (1.0, 4.0, 16.0)]
    excess = float(parse_params(ascent.params.iloc[0])["excess"])
    until = next((i for i, lost in enumerate(lost_asr) if lost >= 0.8 * excess), lost_asr.index(max(lost_asr))) + 1
    slope = sum(a * f for a, f in zip(lost_acc[:until], lost_asr[:until], strict=True)) / sum(
        f * f for f in lost_asr[:until]
    )
    assert float(ascent[ascent.reference == ""]["value"].iloc[0]) == pytest.approx(slope)
    pd.testing.assert_frame_equal(measure_forgetting(run, benign, rates, stops=(0, 1, 4, 16)), rows)


def test_a_method_without_a_loss_of_its_own_kind_says_so(pair, monkeypatch):
    monkeypatch.setattr(forgetting, "OWN", ())
    rows = measure_forgetting(*pair, stops=(0, 1))
    (missing,) = rows[rows.params.str.contains("there is no loss to go on with")].to_dict("records")
    assert parse_params(missing["params"])["way"] == "benign-only"
    assert missing["status"] == "undefined"


def test_a_coupling_is_read_only_where_a_backdoor_was_there_and_went():
    known = forgetting._coupling("ascent", [0.9, 0.8], [1.0, 0.5], 0.9)
    assert known.value == pytest.approx(0.2)
    assert forgetting._coupling("ascent", [0.9, 0.8], [0.2, 0.1], 0.2).status == "not_evaluable"
    stayed = forgetting._coupling("ascent", [0.9, 0.8], [1.0, 0.9], 0.9)
    assert stayed.status == "undefined"
    assert parse_params(stayed.params)["reason"] == "ASR falls by less than 0.3"


# --- matched ASR


def test_the_matched_trigger_is_the_weakest_that_reaches_the_level(pair):
    run, benign, rates = pair
    rows = measure_matched(run, benign, rates)
    strength = reading(rows, "matched_strength")["value"]
    path = path_points(rows, "strength")
    asr = path[path.measure == "asr"].set_index("x")["value"]
    weaker = asr[asr.index < strength]
    assert (weaker < ASR_LEVEL).all()
    assert asr[strength] >= ASR_LEVEL
    assert strength - weaker.index.max() < 0.0063  # a tenth, halved four times
    trigger = run.experiment.test_trigger
    weakened = replace(rates, trigger=replace(trigger, strength=trigger.strength * strength))
    assert weakened(run.encoder)[1] == asr[strength]

    chosen = matched_rows(rows)
    assert set(chosen.x) == {strength}
    panel = chosen[(chosen.measure == "asr") & (chosen.reference == "") & chosen.params.str.contains("evaluator=knn")]
    assert panel["value"].item() == pytest.approx(asr[strength]), "one evaluator, one bank"
    assert {"neighbour_mixing", "gradient_alignment"} <= set(chosen.measure)
    assert set(judge(chosen).claim) == {"C2"}
    assert set(final_rows(rows).measure) == {"matched_strength"}, "they do not pass for readings at full strength"


def test_an_arm_that_never_reaches_the_level_is_not_evaluable(pair, monkeypatch):
    monkeypatch.setattr(matched_asr, "ASR_LEVEL", 1.01)
    rows = measure_matched(*pair)
    assert set(rows[rows.x.isna()].status) == {"undefined"}
    verdicts = judge(matched_rows(rows))
    assert set(verdicts.verdict) == {"not evaluable"}
    assert verdicts.why.str.contains("reading is undefined and benign twin is undefined").all()


# --- where the backdoor failed


def test_nothing_is_read_off_a_backdoor_that_failed(failed):
    run, benign, rates = failed
    batches = statistics_batches(run)
    tables = (
        measure_path(run, benign, rates, batches),
        measure_transplants(run, benign, rates, batches),
        measure_forgetting(run, benign, rates, stops=(0, 1)),
    )
    rows = pd.concat(tables)
    assert set(rows[rows.x.isna() & (rows.reference == "")].status) == {"not_evaluable"}
    panel = measure_run(run, benign, readings="cheap")
    assert failed_runs(panel) == {"supervised-dirty/seed0"}


def test_readings_of_learning_are_gated_by_the_panel_of_the_end():
    def row(run, measure, value, reference="", status="ok", x=None, params=""):
        return dict.fromkeys(COLUMNS, "") | {
            **{"run": run, "layer": "features", "measure": measure, "reference": reference, "value": value, "epoch": 9},
            **{"status": status, "x": x, "params": params},
        }

    knn = "evaluator=knn"
    rows = pd.DataFrame(
        [
            *(row("bad", "asr", 0.4, params=knn), row("bad", "asr", 0.2, "benign", params=knn)),
            *(row("bad", "asr", 0.9, params="evaluator=ridge"), row("good", "asr", 0.9, params=knn)),
            *(row("good", "asr", 0.2, "benign", params=knn), row("clean", "asr", 0.1, params=knn)),
            *(row(run, "half_time_gap", 5.0) for run in ("bad", "good", "clean")),
            *(row("bad", "half_time_gap", 1.0, "benign"), row("bad", "dynamics_coupling", 1.0, status="undefined")),
            *(row("bad", "neighbour_mixing", 0.1), row("bad", "transplant_gain", 0.1), row("bad", "acc", 0.1, x=0.5)),
        ]
    )
    assert failed_runs(rows) == {"bad"}
    changed = gated(rows)
    different = changed[changed.status != rows.status]
    assert list(zip(different.run, different.measure, different.reference, strict=True)) == [
        ("bad", "half_time_gap", ""),
        ("bad", "transplant_gain", ""),
    ]
    assert set(different.status) == {"not_evaluable"}
