"""Intervals, tests and Holm's adjustment against scipy and worked examples, and what has no spread."""

import math

import pandas as pd
import pytest
from intertwine.analysis.claims.statistics import Effect, holm, over_seeds
from scipy import stats


def test_holm_is_the_step_down_procedure():
    assert holm([0.01, 0.04, 0.03]) == pytest.approx([0.03, 0.06, 0.06])
    assert holm([0.9, 0.8]) == [1.0, 1.0]
    assert holm([]) == []
    alone = holm([float("nan"), 0.02])
    assert math.isnan(alone[0])
    assert alone[1] == 0.02, "what cannot be tested is no test"


def test_equivalence_is_two_one_sided_tests():
    values = (0.02, -0.05, 0.01, 0.04, -0.03)
    found = Effect(0, (0, 0), (0, 0), 5, values=values)
    above = stats.ttest_1samp(values, -0.1, alternative="greater").pvalue
    below = stats.ttest_1samp(values, 0.1, alternative="less").pvalue
    assert found.p_within(0.1) == pytest.approx(max(above, below))


def test_seeds_that_are_all_alike_have_a_p_all_the_same():
    same = Effect(0, (0, 0), (0, 0), 3, values=(0.2, 0.2, 0.2))
    assert (same.p_above(0.1), same.p_above(0.2), same.p_within(0.3), same.p_within(0.1)) == (0, 1, 0, 1)
    assert math.isnan(Effect(0, (0, 0), (0, 0), 1, values=(0.2,)).p_above(0.1))


def test_intervals_over_seeds_are_students():
    values = [0.3, 0.1, 0.25, 0.4]
    found = over_seeds(pd.Series(values))
    mean, error = sum(values) / 4, stats.sem(values)
    assert found.value == pytest.approx(mean)
    assert found.interval90 == pytest.approx(stats.t.interval(0.9, 3, mean, error))
    assert found.interval95 == pytest.approx(stats.t.interval(0.95, 3, mean, error))
    assert found.values == tuple(values)
    assert over_seeds(pd.Series([0.2, 0.2])).interval95 == pytest.approx((0.2, 0.2))


def test_one_seed_has_no_interval():
    alone, none = over_seeds(pd.Series([0.3])), over_seeds(pd.Series([], dtype=float), why="nothing worked")
    assert (alone.value, alone.seeds, alone.why) == (0.3, 1, "fewer than two seeds have no interval")
    assert math.isnan(alone.interval95[0])
    assert math.isnan(none.value)
    assert none.why == "nothing worked"
