"""The interval of differences of paired scores."""

import math

import pytest
import torch
from intertwine.probes.nulls import mean_interval, paired_interval

from tests.factories import case, stream


def test_bonett_and_price_by_hand():
    """7 lost and 2 won of 30: p = 8/32, q = 3/32, p − q ± 1.96 √((p + q − (p − q)²)/32)."""
    differences = torch.tensor([1.0] * 7 + [-1.0] * 2 + [0.0] * 21)
    p, q = 8 / 32, 3 / 32
    reach = 1.959964 * math.sqrt((p + q - (p - q) ** 2) / 32)
    assert paired_interval(differences) == pytest.approx((p - q - reach, p - q + reach), abs=1e-6)


def test_it_covers_rare_differences_where_the_interval_of_a_mean_does_not():
    g = stream()
    for n, won, lost in ((100, 0.0, 0.01), (100, 0.05, 0.05), (30, 0.0, 0.05), (200, 0.3, 0.1), (100, 0.98, 0.0)):
        u = torch.rand(600, n, generator=g, dtype=torch.float64)
        draws = (u < won).double() - (u > 1 - lost).double()
        covered = {}
        for name, interval in (("mean", lambda d: mean_interval(d, low=-1.0)), ("paired", paired_interval)):
            covered[name] = sum(low <= won - lost <= high for low, high in map(interval, draws)) / len(draws)
        with case(n, won, lost, covered):
            assert covered["paired"] > 0.93
            assert (n, lost) != (100, 0.01) or covered["mean"] < 0.7


def test_it_has_a_width_where_nothing_differs_and_stays_in_range():
    low, high = paired_interval(torch.zeros(50))
    assert low == pytest.approx(-high)
    assert high == pytest.approx(1.959964 * math.sqrt(2) / 52)
    assert paired_interval(torch.ones(50))[1] == 1
    assert paired_interval(-torch.ones(3))[0] == -1


def test_nan_is_left_out_and_nothing_has_no_interval():
    some = torch.tensor([0.5, -0.5, float("nan"), 0.25])
    assert paired_interval(some) == paired_interval(some[[0, 1, 3]])
    assert all(math.isnan(x) for x in paired_interval(some[2:3]))


def test_a_higher_level_is_wider():
    some = torch.linspace(-1, 0.5, 40)
    (a, b), (c, d) = paired_interval(some, level=0.9), paired_interval(some, level=0.99)
    assert c < a < b < d
