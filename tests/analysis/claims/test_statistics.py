"""Intervals, tests and Holm's adjustment against scipy, statsmodels and worked examples; what has no spread."""

import math

import pandas as pd
import pytest
from intertwine.analysis.claims.statistics import contrast, holm, over_seeds, within_runs
from scipy import stats
from statsmodels.stats.multitest import multipletests
from statsmodels.stats.weightstats import CompareMeans, DescrStatsW, ttost_paired


def test_holm_is_the_step_down_procedure():
    assert holm([0.01, 0.04, 0.03]) == pytest.approx([0.03, 0.06, 0.06])
    assert holm([0.9, 0.8]) == [1.0, 1.0]
    assert holm([]) == []
    alone = holm([float("nan"), 0.02])
    assert math.isnan(alone[0])
    assert alone[1] == 0.02, "what cannot be tested is no test"
    several = [0.2, 0.011, 0.04, 0.04, 0.9]
    assert holm(several) == pytest.approx(multipletests(several, method="holm")[1])
    assert holm([0.011, 0.2], 5) == pytest.approx([0.055, 0.8]), "claims that were registered and not run count"


def test_equivalence_is_two_one_sided_tests():
    values = (0.02, -0.05, 0.01, 0.04, -0.03)
    found = over_seeds(pd.Series(values))
    above = stats.ttest_1samp(values, -0.1, alternative="greater").pvalue
    below = stats.ttest_1samp(values, 0.1, alternative="less").pvalue
    assert found.p_within(0.1) == pytest.approx(max(above, below))
    assert found.p_within(0.1) == pytest.approx(ttost_paired(pd.Series(values), pd.Series([0.0] * 5), -0.1, 0.1)[0])
    assert (found.p_above(-0.1), found.p_below(0.1)) == pytest.approx((above, below))


def test_seeds_that_are_all_alike_have_a_p_all_the_same():
    same = over_seeds(pd.Series([0.2, 0.2, 0.2]))
    assert (same.p_above(0.1), same.p_above(0.2), same.p_within(0.3), same.p_within(0.1)) == (0, 1, 0, 1)
    assert (same.p_below(0.3), same.p_below(0.2)) == (0, 1)
    assert math.isnan(over_seeds(pd.Series([0.2])).p_above(0.1))


def test_intervals_over_seeds_are_students():
    values = [0.3, 0.1, 0.25, 0.4]
    found = over_seeds(pd.Series(values))
    mean, error = sum(values) / 4, stats.sem(values)
    assert found.value == pytest.approx(mean)
    assert found.interval90 == pytest.approx(stats.t.interval(0.9, 3, mean, error))
    assert found.interval95 == pytest.approx(stats.t.interval(0.95, 3, mean, error))
    assert (found.error, found.df, found.spread) == pytest.approx((error, 3, 2 * error))
    assert over_seeds(pd.Series([0.2, 0.2])).interval95 == pytest.approx((0.2, 0.2))


def test_one_seed_has_no_interval():
    alone, none = over_seeds(pd.Series([0.3])), over_seeds(pd.Series([], dtype=float), why="nothing worked")
    assert (alone.value, alone.seeds, alone.why) == (0.3, 1, "fewer than two seeds have no interval")
    assert math.isnan(alone.interval95[0])
    assert math.isnan(none.value)
    assert none.why == "nothing worked"


def test_a_contrast_of_arms_with_other_seeds_is_welchs():
    a, b = pd.Series([0.3, 0.5, 0.1, 0.9], [0, 1, 2, 3]), pd.Series([0.2, 0.25, 0.3], [2, 3, 4])
    found = contrast({"a": a, "b": b}, {"a": 1.0, "b": -1.0})
    low, high = CompareMeans(DescrStatsW(a), DescrStatsW(b)).tconfint_diff(0.05, usevar="unequal")
    assert found.interval95 == pytest.approx((low, high))
    assert found.spread == pytest.approx((a.var() + b.var()) ** 0.5)
    assert found.design == "unpaired (Welch): 4, 3 seeds, 2 of them in all arms"


def test_a_contrast_of_arms_with_the_same_seeds_is_paired():
    """What the seeds do to both arms alike drops out, in whatever order they come."""
    a = pd.Series([0.3, 0.5, 0.1], [0, 1, 2])
    found = contrast({"a": a, "b": (a - 0.25)[::-1]}, {"a": 1.0, "b": -1.0})
    assert found.interval95 == pytest.approx((0.25, 0.25), abs=1e-12)
    assert found.design == "paired: 3 pairs"


def test_arms_without_any_spread_still_have_a_contrast():
    found = contrast({"a": pd.Series([0.5, 0.5]), "b": pd.Series([0.1, 0.1, 0.1])}, {"a": 1.0, "b": -1.0})
    assert (found.p_above(0.3), found.p_above(0.5)) == (0, 1)


def test_limits_within_runs_need_not_be_symmetric():
    """Mixing of 0 with the interval [0, .06]: what it may be above must not be halved into both directions."""
    alone = within_runs([(1.0, 0.0, 0.0, 0.06)])
    assert alone.interval95 == pytest.approx((0.0, 0.06))
    assert alone.interval90 == pytest.approx((0.0, 0.06 * 1.6449 / 1.96), rel=1e-3)
    both = within_runs([(1.0, 0.5, 0.03, 0.04), (-1.0, 0.0, 0.0, 0.03)])
    assert both.interval95 == pytest.approx((0.5 - 0.03 * 2**0.5, 0.54))
    assert math.isnan(both.p_above(0.0))
    assert within_runs([(1.0, 0.5, math.nan, 0.1)], without="nothing").why == "nothing"
