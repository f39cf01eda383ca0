"""Readings of a run's curves have the values that a pencil gives, and those of its snapshots are those of the panel."""

import math

import numpy as np
import pandas as pd
import pytest
from intertwine.analysis.learning.dynamics import (
    coupling_rows,
    dynamics_coupling,
    half_time_gap,
    measure_dynamics,
    own_alignment,
    own_alignment_ends,
    windowed,
)
from intertwine.analysis.reports.learning_tables import interventions_table, learning_table
from intertwine.analysis.results.schema import COLUMNS
from intertwine.analysis.runs.measurement import measure_run
from intertwine.analysis.runs.run import load_run
from intertwine.representations.errors import InputError
from intertwine.training import fit, read_recipe


def history(acc, asr, **columns) -> pd.DataFrame:
    return pd.DataFrame({"epoch": range(1, len(acc) + 1), "acc": acc, "asr": asr} | columns)


# --- half-time gap


def test_the_gap_is_the_steps_between_the_two_half_times():
    """ACC goes 0 → .5 → .9 … .9, half (.45) at .9 of the first epoch; ASR 0, 0, .4, .8 … .8, half (.4) at epoch 3."""
    curve = history([0.5, 0.9] + [0.9] * 8, [0.0, 0.0, 0.4] + [0.8] * 7)
    gap = half_time_gap(curve, {"acc": 0.0, "asr": 0.0}, steps=10)
    assert gap.value == pytest.approx(10 * (3 - 0.9))
    assert gap.status == "ok"
    assert half_time_gap(curve, {"acc": 0.0, "asr": 0.0}, steps=20).value == pytest.approx(2 * gap.value)


def test_the_start_counts_and_a_later_dip_does_not():
    """From .1 to .9: half is .5, first reached between epochs 1 (.3) and 2 (.7), whatever happens at epoch 5."""
    acc = [0.3, 0.7, 0.9, 0.9, 0.2, *[0.9] * 15]
    gap = half_time_gap(history(acc, acc), {"acc": 0.1, "asr": 0.1}, steps=1)
    assert gap.value == 0
    assert "acc_half=1.5;asr_half=1.5" in gap.params


def test_equal_curves_swapped_change_the_sign():
    fast, slow = [0.8] * 10, [0.2, 0.4, 0.6] + [0.8] * 7
    start = {"acc": 0.0, "asr": 0.0}
    there, back = (half_time_gap(history(a, b), start, 7).value for a, b in ((fast, slow), (slow, fast)))
    assert there == pytest.approx(-back)
    assert there > 0, "positive where the backdoor is later"


def test_epochs_that_were_not_read_are_passed_over():
    nan = float("nan")
    gap = half_time_gap(history([nan, 0.8, nan, 0.8], [nan, 0.4, nan, 0.8]), {"acc": 0, "asr": 0}, 1)
    assert gap.value == pytest.approx(2 - 1)


@pytest.mark.parametrize(("acc", "asr", "name"), [([0.91] * 10, [0.9] * 10, "acc"), ([0.99] * 10, [0.25] * 10, "asr")])
def test_a_curve_that_does_not_rise_has_no_half_time(acc, asr, name):
    gap = half_time_gap(history(acc, asr), {"acc": 0.9, "asr": 0.0}, 1)
    assert gap.status == "undefined"
    assert f"expected {name} to rise" in gap.params
    assert math.isnan(gap.value)


def test_the_window_is_the_last_tenth():
    reading = windowed(history([0.1] * 18 + [0.4, 0.8], [0] * 20), "acc")
    assert reading.value == pytest.approx(0.6)
    assert reading.params == "epochs=2;sd=0.2"


# --- coupling


def test_coupling_is_the_correlation_of_first_differences():
    acc, asr = [0.1, 0.3, 0.4, 0.8, 0.9], [0.0, 0.1, 0.1, 0.7, 0.6]
    own, null = dynamics_coupling({0: history(acc, asr)})
    assert own[0].value == pytest.approx(np.corrcoef(np.diff(acc), np.diff(asr))[0, 1])
    assert null.status == "undefined", "one seed has no other"


def test_the_null_pairs_each_acc_with_every_other_asr():
    rng = np.random.default_rng(0)
    curves = {seed: history(rng.random(9), rng.random(9)) for seed in range(3)}
    own, null = dynamics_coupling(curves)
    expected = [
        np.mean([np.corrcoef(curves[i].acc.diff()[1:], curves[j].asr.diff()[1:])[0, 1] for j in range(3) if j != i])
        for i in range(3)
    ]
    assert null.value == pytest.approx(np.mean(expected))
    assert null.interval[0] < null.value < null.interval[1]
    assert len(own) == 3


def test_two_rising_curves_correlate_with_those_of_other_seeds_too():
    """The reason for the null: independent noise on one common rise."""
    rng = np.random.default_rng(1)
    rise = 1 - np.exp(-np.arange(1, 21) / 3)
    curves = {seed: history(rise + 0.01 * rng.normal(size=20), rise + 0.01 * rng.normal(size=20)) for seed in range(6)}
    own, null = dynamics_coupling(curves)
    assert np.mean([r.value for r in own.values()]) > 0.7
    assert null.value > 0.7


def test_planted_coupling_stands_out_from_the_null():
    """Where ACC and ASR make the same jumps, seed by seed at other epochs, own is high and crossed is not."""
    rng = np.random.default_rng(2)
    jumps = [np.cumsum(rng.permutation([0.3, 0.3, *[0.0] * 18])) for _ in range(8)]
    own, null = dynamics_coupling({seed: history(jump, jump) for seed, jump in enumerate(jumps)})
    assert all(r.value == pytest.approx(1) for r in own.values())
    assert null.value < 0.2


def test_flat_or_short_curves_are_undefined_and_unequal_ones_refused():
    own, _ = dynamics_coupling({0: history([0.9] * 6, [0.0, 0.2, 0.5, 0.6, 0.7, 0.8])})
    assert own[0].status == "undefined"
    own, _ = dynamics_coupling({0: history([0.1, 0.5, 0.9], [0.1, 0.2, 0.3])})
    assert "expected at least 4 epochs" in own[0].params
    with pytest.raises(InputError, match="the same epochs in every seed"):
        dynamics_coupling({0: history([0.1] * 5, [0.1] * 5), 1: history([0.1] * 6, [0.1] * 6)})


def test_rows_of_coupling_are_those_of_poisoned_arms_with_several_seeds():
    rng = np.random.default_rng(0)
    parts = [
        history(rng.random(6), rng.random(6), arm=arm, seed=seed, run=f"{arm}/seed{seed}")
        for arm, seeds in (("simclr-clean", 2), ("simclr-benign", 2), ("supcon-dirty", 1))
        for seed in range(seeds)
    ]
    rows = coupling_rows(pd.concat(parts))
    assert list(rows.columns) == COLUMNS
    assert set(rows.run) == {"simclr-clean/seed0", "simclr-clean/seed1"}
    assert list(rows.reference) == ["", "cross-seed"] * 2


# --- along the snapshots of real runs


@pytest.fixture(scope="module")
def runs(tmp_path_factory):
    folder = tmp_path_factory.mktemp("dynamics")
    tiny = {"epochs": 4, "n_train": 400, "n_test": 150, "width": 4, "hidden": 16, "projection": 8, "batch": 50}
    arms = ("supervised-benign", "supervised-dirty", "simclr-benign", "simclr-clean", "moco", "moco-benign")
    made = {}
    for arm in arms:
        folder_of = fit(read_recipe("digits-demo", arm=arm, **tiny), folder / arm, device="cpu")
        made[arm] = load_run(folder_of, device="cpu")
    return made


def test_rows_along_training(runs):
    run, benign = runs["supervised-dirty"], runs["supervised-benign"]
    lines: list[str] = []
    rows = measure_dynamics(run, benign, log=lines.append)
    assert list(rows.columns) == COLUMNS
    mixing = rows[(rows.measure == "neighbour_mixing") & (rows.subset == "triggered")]
    assert set(mixing.epoch) == {0, 1, 2, 3, 4}
    assert len(lines) == 5
    for epoch in (0, 4):
        expected = measure_run(run, benign, readings="cheap", epoch=epoch)
        found = rows[(rows.epoch == epoch) & rows.measure.isin(set(expected.measure))].head(len(expected))
        pd.testing.assert_frame_equal(found.reset_index(drop=True), expected, check_dtype=False)
    start = rows[(rows.epoch == 0) & (rows.measure == "gradient_alignment") & (rows.layer == "all")]
    values = dict(zip(start.reference, start.value, strict=True))
    assert values[""] == values["benign"], "before training an arm is its benign twin"
    assert set(rows[rows.measure == "loss_rank_auc"].epoch) == {1, 2, 3, 4}
    assert {"acc_windowed", "asr_windowed", "r_acc_windowed", "half_time_gap"} <= set(rows.measure)


def test_the_last_snapshot_is_the_trained_encoder(runs):
    run, benign = runs["simclr-clean"], runs["simclr-benign"]
    last, trained = (measure_run(run, benign, readings="cheap", epoch=epoch) for epoch in (4, None))
    shared = trained[~trained.params.str.contains("evaluator=head")].reset_index(drop=True)
    pd.testing.assert_frame_equal(last, shared)


def test_own_alignment_of_a_task_with_itself_is_one(runs, monkeypatch):
    """A trigger that does nothing leaves the same images, views, negatives and (no) labels: one task."""
    from intertwine.training.experiment import Experiment

    run = runs["simclr-clean"]
    apart = own_alignment(run, run, 4)
    monkeypatch.setattr(Experiment, "train_trigger", property(lambda self: lambda x: x))
    same = own_alignment(run, run, 4)
    assert set(same) == {"all", "stem", "layer1", "layer2", "layer3"}
    for layer, reading in same.items():
        assert "naive=1;" in reading.params, layer
        assert "naive=1;" not in apart[layer].params


def test_the_ends_of_own_alignment_are_another_trigger_and_one_task(runs, monkeypatch):
    from intertwine.training.experiment import Experiment

    run = runs["simclr-clean"]
    ends = own_alignment_ends(run, 4)
    assert set(ends) == {"random-trigger", "together"}
    assert {reading.value for reading in ends["together"].values()} == {1.0}
    other = run.experiment.train_trigger.variant(0)
    monkeypatch.setattr(Experiment, "train_trigger", property(lambda self: other))
    # As text: a layer whose gradients are not told from noise has no value, and NaN equals nothing.
    assert repr(own_alignment(run, run, 4)) == repr(ends["random-trigger"])


def test_own_alignment_says_why_there_is_none(runs):
    for of_end in own_alignment_ends(runs["moco"], 1).values():
        assert "frozen negatives for moco" in of_end["all"].params
    clean = own_alignment(runs["simclr-benign"], runs["simclr-benign"], 1)["all"]
    assert "expected poisons" in clean.params
    moco = own_alignment(runs["moco"], runs["moco"], 1)["all"]
    assert moco.status == "undefined"
    assert "frozen negatives for moco" in moco.params


def test_the_table_averages_what_is_told_from_noise_and_pairs_snapshots():
    """Two seeds; the benign twin of seed 0 is told from noise at epoch 2 only, seed 1 has none; epoch 0 is no
    training."""

    def row(value, status="ok", reference="", epoch=1, seed=0):
        return dict.fromkeys(COLUMNS, "") | {
            **{"run": f"simclr-clean/seed{seed}", "arm": "simclr-clean", "seed": seed, "epoch": epoch, "layer": "all"},
            **{"measure": "own_gradient_alignment", "reference": reference, "value": value, "status": status},
            "x": None,
        }

    rows = pd.DataFrame(
        [
            *(row(0.99, epoch=0), row(0.99, reference="benign", epoch=0)),
            *(row(0.5), row(0.25, "not_estimable", "benign")),
            *(row(0.7, epoch=2), row(0.3, reference="benign", epoch=2)),
            *(row(0.9, "not_estimable", epoch=3), row(-0.9, reference="benign", epoch=3)),
            *(row(0.2, seed=1), row(0.1, "not_evaluable", seed=1, epoch=2)),
        ]
    )
    (line,) = learning_table(rows).to_dict("records")
    assert line["own alignment"].startswith("0.400 [")
    assert line["own alignment"].endswith(", 2 (3)")
    assert line["minus its benign twin"] == "0.400 –, 1 (1)"
    assert line["minus a random trigger's"] == "–"


def test_the_null_of_the_coupling_is_that_of_the_runs_that_count():
    def row(value, seed, reference="", status="ok"):
        return dict.fromkeys(COLUMNS, "") | {
            **{"run": f"simclr-clean/seed{seed}", "arm": "simclr-clean", "seed": seed, "epoch": 9, "layer": "all"},
            **{"measure": "dynamics_coupling", "reference": reference, "value": value, "status": status, "x": None},
        }

    rows = [row(0.3, 0), row(0.1, 0, "cross-seed"), row(0.8, 1, status="not_evaluable"), row(0.9, 1, "cross-seed")]
    (line,) = learning_table(pd.DataFrame(rows)).to_dict("records")
    assert (line["coupling"], line["its null"]) == ("0.300 –, 1", "0.100")


def test_the_table_of_interventions_pairs_seeds_and_counts_those_left_out():
    def row(value, seed, reference="", status="ok", way="ascent"):
        return dict.fromkeys(COLUMNS, "") | {
            **{"run": f"simclr-clean/seed{seed}", "arm": "simclr-clean", "seed": seed, "epoch": 9, "layer": "all"},
            **{"measure": "forgetting_coupling", "reference": reference, "value": value, "status": status, "x": None},
            "params": f"way={way};fell=0.9",
        }

    rows = pd.DataFrame(
        [
            *(row(0.3, 0), row(0.1, 0, "benign"), row(0.5, 1), row(0.2, 1, "benign")),
            *(row(float("nan"), 2, status="not_evaluable"), row(0.9, 2, "benign"), row(0.9, 0, way="benign-only")),
        ]
    )
    line, other = interventions_table(rows).to_dict("records")
    assert (line["reading"], line["held against"]) == ("forgetting coupling, ascent", "benign")
    assert (line["mean"], line["its mean"], line["difference"]) == ("0.400", "0.150", "0.250")
    assert (line["seeds"], line["left out"]) == ("2 of 3", "not_evaluable")
    assert (other["reading"], other["mean"], other["difference"]) == ("forgetting coupling, benign-only", "0.900", "–")
