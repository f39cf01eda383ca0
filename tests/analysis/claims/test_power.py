"""Power against statsmodels and simulation, and results that could have come out neither way."""

import math

import numpy as np
import pandas as pd
import pytest
from intertwine.analysis.claims.power import ENOUGH_POWER, largest_spread, power, seeds_needed
from intertwine.analysis.claims.statistics import over_seeds
from intertwine.analysis.claims.verdicts import PARTS, Part, verdict
from statsmodels.stats.power import TTestPower

from tests.factories import case

MIXING, INTERFERENCE, _ = PARTS["C2"]


def test_power_of_one_test_is_that_of_statsmodels():
    for effect, seeds, level in ((0.5, 10, 0.05), (1.2, 5, 0.025), (0.1, 40, 0.01), (2.0, 3, 0.05)):
        with case(effect, seeds, level):
            found = power(effect, 1 / math.sqrt(seeds), seeds - 1, level)
            assert found == pytest.approx(TTestPower().power(effect, seeds, level, alternative="larger"), abs=1e-6)


def test_power_of_two_tests_is_that_of_a_simulation():
    rng = np.random.default_rng(0)
    draws = 0.12 * rng.normal(size=(4000, 10))
    mean, error = draws.mean(1), draws.std(1, ddof=1) / 10**0.5
    reach = 1.8331 * error  # the 95 % quantile of t with 9 degrees of freedom
    simulated = float((np.abs(mean) + reach < 0.15).mean())
    assert power(0.15, 0.12 / 10**0.5, 9, 0.05, both=True) == pytest.approx(simulated, abs=0.02)


def test_the_least_number_of_seeds_has_the_power_and_one_less_does_not():
    for distance, spread, level, both in (
        (0.1, 0.1, 0.025, False),
        (0.05, 0.2, 0.05 / 3, False),
        (0.15, 0.2, 0.025, True),
    ):
        with case(distance, spread, level, both):
            n = seeds_needed(distance, spread, level, both=both)
            powers = [power(distance, spread / k**0.5, k - 1, level, both=both) for k in (n - 1, n)]
            assert powers[0] < ENOUGH_POWER <= powers[1]
            assert largest_spread(distance, int(n), level, both=both) >= spread
            assert largest_spread(distance, int(n) - 1, level, both=both) < spread


def test_ends_of_what_seeds_can_do():
    assert seeds_needed(0.1, 0.0, 0.05) == 2
    assert seeds_needed(0.1, 1e-9, 0.05) == 2, "far out, where the noncentral t does not converge"
    assert seeds_needed(0.1, 100.0, 0.05) == math.inf
    assert math.isnan(seeds_needed(0.1, math.nan, 0.05))
    assert math.isnan(largest_spread(0.1, 1, 0.05))


def decided(part: Part, values, level=0.05):
    effect = over_seeds(pd.Series(values))
    return verdict([part], [effect], part.p(effect), part.p_fail(effect), level)


def test_what_could_have_come_out_neither_way_is_underpowered():
    """The same mean and the same seeds: only the spread tells "inconclusive" from "underpowered"."""
    z = np.linspace(-1, 1, 10)
    z = z / z.std(ddof=1)
    for part in (MIXING, INTERFERENCE, PARTS["C3"][1], PARTS["C4"][0]):
        for spread, expected in ((0.02, "inconclusive"), (1.5, "inconclusive"), (2.5, "underpowered")):
            with case(part, spread):  # of a standard error of a third of the margin: the t that is needed is 1.83
                error = spread * part.margin / (1.8 if part.side == "within" else 1) / 3
                assert decided(part, part.margin + error * 10**0.5 * z) == expected


def test_underpowered_is_said_where_the_power_of_either_test_is_below_a_half():
    z = np.linspace(-1, 1, 10)
    z = z / z.std(ddof=1)
    for spread in np.linspace(0.05, 0.5, 19):
        found = decided(MIXING, 0.1 + spread * z)
        low = power(0.1, spread / 10**0.5, 9, 0.05) < 0.5
        with case(spread):
            assert found == ("underpowered" if low else "inconclusive")
    assert decided(MIXING, 0.9 + 0.3 * z) == "not supported", "a result that did come out is one"


def test_a_stricter_level_needs_more():
    z = np.linspace(-1, 1, 10)
    values = 0.1 + 0.15 * z / z.std(ddof=1)
    assert decided(MIXING, values) == "inconclusive"
    assert decided(MIXING, values, level=0.05 / 5) == "underpowered"
