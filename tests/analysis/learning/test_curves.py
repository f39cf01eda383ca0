"""Readings of a run's curves have the values that a pencil gives."""

import math

import numpy as np
import pandas as pd
import pytest
from intertwine.analysis.learning.curves import coupling_rows, dynamics_coupling, half_time_gap, windowed
from intertwine.representations.errors import InputError

from tests.analysis.schema_checks import must_fit_schema


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
    assert gap.note == "steps; ACC at 1.5, ASR at 1.5"


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
    assert f"expected {name} to rise" in gap.note
    assert math.isnan(gap.value)


def test_the_window_is_the_last_tenth():
    reading = windowed(history([0.1] * 18 + [0.4, 0.8], [0] * 20), "acc")
    assert reading.value == pytest.approx(0.6)
    assert reading.note == "mean of 2 epochs; SD 0.2"


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
    assert "expected at least 4 epochs" in own[0].note
    with pytest.raises(InputError, match="the same epochs in every seed"):
        dynamics_coupling({0: history([0.1] * 5, [0.1] * 5), 1: history([0.1] * 6, [0.1] * 6)})


def test_rows_of_coupling_are_those_of_poisoned_arms_with_several_seeds(tmp_path):
    rng = np.random.default_rng(0)
    parts = [
        history(rng.random(6), rng.random(6), arm=arm, seed=seed, run=f"{arm}/seed{seed}")
        for arm, seeds in (("simclr-clean", 2), ("simclr-benign", 2), ("supcon-dirty", 1))
        for seed in range(seeds)
    ]
    rows = coupling_rows(pd.concat(parts))
    must_fit_schema(rows, tmp_path)
    assert set(rows.kind) == {"coupling"}
    assert set(rows.epoch) == {6}
    assert set(rows.run) == {"simclr-clean/seed0", "simclr-clean/seed1"}
    assert list(rows.reference) == ["", "cross-seed"] * 2
