"""Intervals that keep what they promise, by simulation and against closed forms."""

from itertools import product
from math import isnan, sqrt

import numpy as np
import pytest
import torch
from intertwine.probes import jackknife_interval, mean_interval, rate_interval, swap_within_pairs, t_interval
from intertwine.representations import InputError
from scipy import stats

from tests.factories import case, randn


def share_covered(intervals, truth: float) -> float:
    covers = [low <= truth <= high for low, high in intervals]
    return sum(covers) / len(covers)


# --- mean_interval


def test_agresti_and_coull_by_hand():
    """7 of 20: (7 + 2)/(20 + 4) ± 1.96 √(p(1 − p)/24)."""
    p = 9 / 24
    reach = 1.959964 * sqrt(p * (1 - p) / 24)
    scores = torch.tensor([1.0] * 7 + [0.0] * 13)
    assert mean_interval(scores) == pytest.approx((p - reach, p + reach), abs=1e-6)


@pytest.mark.parametrize("level", [0.5, 0.9, 0.99])
def test_scores_between_the_ends_by_hand(level):
    scores = [0.2, 0.9, 0.4, 0.4, 1.7, 1.1]
    mean = sum(scores) / 6
    # Four added scores, times the share of the variance that scores of 0 or 2 with this mean would have.
    share = sum((s - mean) ** 2 for s in scores) / 6 / (mean * (2 - mean))
    padded, w = [*scores, 0.0, 0.0, 2.0, 2.0], [1.0] * 6 + [share] * 4
    centre = sum(a * b for a, b in zip(w, padded, strict=True)) / sum(w)
    error = sqrt(sum(a * (b - centre) ** 2 for a, b in zip(w, padded, strict=True))) / sum(w)
    z = float(stats.norm.isf((1 - level) / 2))
    got = mean_interval(torch.tensor(scores), high=2.0, level=level)
    assert got == pytest.approx((max(0.0, centre - z * error), min(2.0, centre + z * error)), abs=1e-6)


@pytest.mark.parametrize("p", [0.1, 0.3, 0.5, 0.9])
def test_coverage_of_a_rate(p):
    """Exact: every possible count of 60, weighed by its probability."""
    covered = 0.0
    for count in range(61):
        low, high = mean_interval(torch.tensor([1.0] * count + [0.0] * (60 - count)))
        covered += stats.binom.pmf(count, 60, p) * (low <= p <= high)
    assert 0.92 <= covered <= 0.98


@pytest.mark.parametrize(("a", "b"), [(0.5, 0.5), (1, 1), (2, 2), (0.3, 1.2), (3, 0.7)])
def test_coverage_of_a_mean_of_beta_scores(a, b):
    draws = np.random.default_rng(0).beta(a, b, size=(1000, 60))
    covered = share_covered([mean_interval(torch.from_numpy(scores)) for scores in draws], a / (a + b))
    assert 0.92 <= covered <= 0.985


@pytest.mark.parametrize(("a", "b"), [(20, 20), (30, 3), (5, 50)])
def test_concentrated_scores_are_not_drowned_by_the_padding(a, b):
    draws = np.random.default_rng(0).beta(a, b, size=(1000, 60))
    covered = share_covered([mean_interval(torch.from_numpy(scores)) for scores in draws], a / (a + b))
    assert 0.92 <= covered <= 0.993


def test_scores_of_a_cross_validation_are_less_sure():
    """A factor 1 + ½·5/4 on the variance."""
    scores = torch.tensor([1.0] * 70 + [0.0] * 30)
    (low, high), (wide_low, wide_high) = mean_interval(scores), mean_interval(scores, folds=5)
    assert (wide_high - wide_low) / (high - low) == pytest.approx(1.625**0.5)
    assert wide_low + wide_high == pytest.approx(low + high)


@pytest.mark.parametrize(
    ("b_scores", "truth", "most"), [((1, 3), 0.5, 0.985), ((3, 1), 1.0, 1.0)], ids=["one mean", "two means"]
)
def test_coverage_of_neighbour_shares_in_a_range_of_0_to_2(b_scores, truth, most):
    """As neighbour mixing uses it: two sets that each weigh one half, 60 and 240 scores in [0, 2]. Where the sets have
    different means, the interval counts their difference as spread and is wider than it need be."""
    stream = np.random.default_rng(0)
    weights = torch.tensor([1 / 60] * 60 + [1 / 240] * 240)
    intervals = []
    for _ in range(800):
        scores = np.concatenate([2 * stream.beta(1, 3, 60), 2 * stream.beta(*b_scores, 240)])
        intervals.append(mean_interval(torch.from_numpy(scores), weights=weights, high=2.0))
    assert 0.92 <= share_covered(intervals, truth) <= most


@pytest.mark.parametrize(("value", "inside"), [(0.0, (0.0, 0.07)), (1.0, (0.93, 1.0)), (0.5, (0.49, 0.51))])
def test_equal_scores_keep_a_width(value, inside):
    low, high = mean_interval(torch.full((60,), value))
    assert high - low > 0.01
    assert (round(low, 2), round(high, 2)) == pytest.approx(inside, abs=0.011)


def test_the_interval_stays_in_its_range_and_shrinks_with_n():
    widths = []
    for n in (10, 100, 1000):
        low, high = mean_interval(torch.cat([torch.ones(n // 10), torch.zeros(n - n // 10)]))
        assert 0 <= low <= 0.1 <= high <= 1
        widths.append(high - low)
    assert widths[0] > 2 * widths[1] > 4 * widths[2]


def test_nan_scores_are_left_out_with_their_weights():
    scores, weights = torch.tensor([0.1, float("nan"), 0.7, 0.4]), torch.tensor([1.0, 50.0, 2.0, 1.0])
    kept = torch.tensor([True, False, True, True])
    expected = mean_interval(scores[kept], weights=weights[kept])
    assert mean_interval(scores, weights=weights) == pytest.approx(expected)
    assert all(isnan(end) for end in mean_interval(torch.tensor([float("nan")] * 3)))
    assert all(isnan(end) for end in mean_interval(torch.tensor([])))


@pytest.mark.parametrize("weight", [1.0, 0.01, 300.0])
def test_equal_weights_of_any_size_are_no_weights(weight):
    scores = torch.rand(30, generator=torch.Generator().manual_seed(0))
    expected = mean_interval(scores)
    assert mean_interval(scores, weights=torch.full((30,), weight)) == pytest.approx(expected)


def test_weights_by_hand():
    """Effective size (Σw)²/Σw² = 16/6; weights scaled to add up to it, then four scores that weigh what the variance
    of the others is of that of zeros and ones."""
    scores, weights = [0.2, 0.8, 0.5], [1.0, 2.0, 1.0]
    size, mean = 16 / 6, 2.3 / 4
    share = sum(w / 4 * (s - mean) ** 2 for s, w in zip(scores, weights, strict=True)) / (mean * (1 - mean))
    w = [weight / 4 * size for weight in weights] + [share] * 4
    padded = [*scores, 0.0, 0.0, 1.0, 1.0]
    centre = sum(a * b for a, b in zip(w, padded, strict=True)) / sum(w)
    variance = sum(a * (b - centre) ** 2 for a, b in zip(w, padded, strict=True)) / sum(w)
    reach = 1.959964 * sqrt(variance / sum(w))
    got = mean_interval(torch.tensor(scores), weights=torch.tensor(weights))
    assert got == pytest.approx((max(0, centre - reach), min(1, centre + reach)), abs=1e-6)


def test_weights_against_replicated_data():
    """A score of weight 2 pulls the mean like a score that is there twice, but is not as sure as two scores."""
    scores = torch.rand(400, generator=torch.Generator().manual_seed(0))
    weights = torch.where(torch.arange(400) < 200, 2.0, 1.0)
    low, high = mean_interval(scores, weights=weights)
    twice_low, twice_high = mean_interval(torch.cat([scores, scores[:200]]))
    assert (low + high) / 2 == pytest.approx((twice_low + twice_high) / 2, abs=2e-3)
    assert high - low > 1.2 * (twice_high - twice_low)
    # As sure as (Σw)²/Σw² = 360 equally weighted scores.
    assert high - low == pytest.approx((twice_high - twice_low) * sqrt(600 / 360), rel=0.02)


# --- jackknife_interval


def test_deleting_one_at_a_time_gives_the_standard_error_of_a_mean():
    """Pseudo-values of a mean are the values: t(n − 1) · sd/√n exactly."""
    x = randn(0, 50) * 3 + 1
    low, high = jackknife_interval(lambda keep: (keep.double() @ x) / keep.sum(1), 50, blocks=50)
    reach = stats.t.isf(0.025, 49) * float(x.std()) / sqrt(50)
    assert (low, high) == pytest.approx((float(x.mean()) - reach, float(x.mean()) + reach))


def test_blocks_are_random_disjoint_and_complete():
    seen = []

    def record(keep):
        seen.append(keep)
        return keep.sum(1).double()

    jackknife_interval(record, 47, blocks=10)
    (keep,) = seen
    assert keep.shape == (1 + 10 + 45, 47)
    assert keep[0].all()
    left_out = ~keep[1:11]
    assert left_out.sum(0).tolist() == [1] * 47
    assert sorted(left_out.sum(1).tolist()) == [4] * 3 + [5] * 7
    assert left_out[0].nonzero().flatten().tolist() != [0, 1, 2, 3, 4]
    pairs = [left_out[i] | left_out[j] for i in range(10) for j in range(i + 1, 10)]
    assert torch.equal(~keep[11:], torch.stack(pairs))


def test_a_degenerate_statistic_is_not_counted_twice():
    """The squared mean of centred data is all curvature: its jackknife variance is too large, ours less so."""
    n, values, ours, plain = 60, [], [], []
    for i in range(400):
        x = randn(50_000 + i, n)

        def squared(keep, x=x):
            k = keep.double()
            mean = k @ x / k.sum(1)
            return mean.square() - (k @ x.square() / k.sum(1) - mean.square()) / (k.sum(1) - 1)  # unbiased for 0

        values.append(float(squared(torch.ones(1, n, dtype=torch.bool))))
        low, high = jackknife_interval(squared, n, seed=i)
        ours.append(((high - low) / 2 / stats.t.isf(0.025, 19)) ** 2)
        leave_one = squared(~torch.eye(n, dtype=torch.bool))
        plain.append(float((n - 1) / n * (leave_one - leave_one.mean()).square().sum()))
    truth = np.var(values)
    assert np.mean(plain) / truth > 1.5
    assert 0.75 < np.mean(ours) / truth < 0.9 * np.mean(plain) / truth


def test_near_one_the_interval_is_that_of_the_distance_to_one():
    x = 1 - 0.01 * randn(4, 80).exp()

    def mean(keep):
        return (keep.double() @ x) / keep.sum(1)

    low, high = jackknife_interval(mean, 80, near_one=True)
    value = float(x.mean())
    assert low < value < high < 1
    assert (1 - low) / (1 - value) == pytest.approx((1 - value) / (1 - high))


@pytest.mark.parametrize(("value", "low_end", "high_end"), [(0.0, 0.0, 0.16), (2.0, 1.84, 2.0)])
def test_a_share_at_its_end_keeps_a_width(value, low_end, high_end):
    low, high = jackknife_interval(lambda keep: torch.full((len(keep),), value), 60, bounds=(0.0, 2.0, 60.0))
    assert low_end <= low < high <= high_end
    assert high - low > 0.03


@pytest.mark.parametrize(("n", "blocks"), [(200, 20), (205, 20), (60, 12)])
def test_blocks_give_the_standard_error_of_a_mean_on_average(n, blocks):
    squares, x = [], randn(1, n)
    for seed in range(150):
        low, high = jackknife_interval(lambda keep: (keep.double() @ x) / keep.sum(1), n, blocks=blocks, seed=seed)
        squares.append(((high - low) / 2 / stats.t.isf(0.025, blocks - 1)) ** 2)
    assert sum(squares) / 150 == pytest.approx(float(x.var()) / n, rel=0.08)


@pytest.mark.parametrize("n", [60, 205])
def test_coverage_for_a_smooth_nonlinear_statistic(n):
    """The ratio of two correlated means."""
    intervals = []
    for i in range(400):
        x = randn(i, n, 2)
        y, z = 2 + x[:, 0], 3 + 0.5 * x[:, 0] + x[:, 1]
        intervals.append(jackknife_interval(lambda k, y=y, z=z: (k.double() @ y) / (k.double() @ z), n, seed=i))
    assert 0.92 <= share_covered(intervals, 2 / 3) <= 0.98


def test_coverage_for_a_standard_deviation():
    intervals = []
    for i in range(800):
        x = randn(10_000 + i, 120)

        def sd(keep, x=x):
            k = keep.double()
            mean = k @ x / k.sum(1)
            return (k @ x.square() / k.sum(1) - mean.square()).sqrt()

        intervals.append(jackknife_interval(sd, 120, seed=i))
    assert 0.92 <= share_covered(intervals, 1.0) <= 0.98


def test_jackknife_options():
    def mean(keep):
        return (keep.double() @ x) / keep.sum(1)

    x = randn(3, 40)
    first = jackknife_interval(mean, 40, seed=1)
    assert first == jackknife_interval(mean, 40, seed=1)
    assert first != jackknife_interval(mean, 40, seed=2)
    wide, narrow = jackknife_interval(mean, 40, level=0.99), jackknife_interval(mean, 40, level=0.5)
    assert wide[0] < narrow[0] < float(x.mean()) < narrow[1] < wide[1]
    # Fewer images than blocks: each image is a block.
    reach = stats.t.isf(0.025, 4) * float(x[:5].std()) / sqrt(5)
    five = jackknife_interval(lambda keep: (keep.double() @ x[:5]) / keep.sum(1), 5)
    assert five[1] - five[0] == pytest.approx(2 * reach)


def test_a_known_excess_of_the_variance_is_taken_off():
    x = randn(0, 100)
    plain, smaller = (
        jackknife_interval(lambda masks: (masks.double() @ x) / masks.sum(1), 100, excess=e, curvature=False)
        for e in (1, 4)
    )
    assert smaller[1] - smaller[0] == pytest.approx((plain[1] - plain[0]) / 2)
    assert sum(smaller) == pytest.approx(sum(plain))


def test_a_statistic_that_is_not_finite_somewhere_has_no_interval():
    def breaks(keep):
        values = keep.sum(1).double()
        values[3] = float("nan")
        return values

    assert all(isnan(end) for end in jackknife_interval(breaks, 50))
    assert all(isnan(end) for end in jackknife_interval(lambda keep: keep.sum(1) / 0.0, 50))
    assert all(isnan(end) for end in jackknife_interval(lambda keep: keep.sum(1).double(), 1))


# --- t_interval


def test_t_interval_is_scipys():
    for level, n in product((0.9, 0.95, 0.99), (2, 3, 10)):
        with case(level, n):
            x = randn(n, n) + 3
            expected = stats.t.interval(level, n - 1, loc=x.mean().item(), scale=stats.sem(x.numpy()))
            assert t_interval(x, level=level) == pytest.approx(expected)
            assert t_interval(x.float(), level=level) == pytest.approx(expected, rel=1e-5)


def test_t_interval_needs_two_values():
    assert all(isnan(end) for end in t_interval(torch.tensor([1.0])))


# --- swap_within_pairs


@pytest.mark.parametrize("shape", [(200,), (200, 3), (200, 3, 2)])
def test_swapping_keeps_every_pair_together(shape):
    first = torch.arange(200.0).view(-1, *[1] * (len(shape) - 1)).expand(shape)
    a, b = swap_within_pairs(first, first + 1000, seed=0)
    swapped = a.view(200, -1)[:, 0] >= 1000
    assert 60 < int(swapped.sum()) < 140
    for i in range(200):
        members = (first[i] + 1000, first[i]) if swapped[i] else (first[i], first[i] + 1000)
        assert torch.equal(a[i], members[0])  # a row goes as a whole
        assert torch.equal(b[i], members[1])


def test_swapping_is_seeded():
    first, second = randn(0, 50, 2), randn(1, 50, 2)
    again = swap_within_pairs(first, second, seed=4)
    assert all(torch.equal(x, y) for x, y in zip(swap_within_pairs(first, second, seed=4), again, strict=True))
    assert not torch.equal(swap_within_pairs(first, second, seed=5)[0], again[0])


def test_swapping_names_unequal_shapes():
    with pytest.raises(InputError, match=r"expected equal shapes, received \(3, 2\), \(4, 2\)"):
        swap_within_pairs(torch.zeros(3, 2), torch.zeros(4, 2), seed=0)


# --- rate_interval


def test_rates_have_intervals_inside_0_and_1_that_cover_their_mean():
    """Beta(2, 1/5): mean 10/11, often above .99. Student's interval leaves [0, 1] in most samples."""
    g = np.random.default_rng(0)
    samples = [torch.from_numpy(g.beta(2, 0.2, 10)) for _ in range(400)]
    intervals = [rate_interval(sample) for sample in samples]
    assert all(0 < low < float(x.mean()) < high < 1 for x, (low, high) in zip(samples, intervals, strict=True))
    assert sum(t_interval(sample)[1] > 1 for sample in samples) > 200
    assert share_covered(intervals, 10 / 11) > max(0.88, share_covered(map(t_interval, samples), 10 / 11))


def test_rates_in_the_middle_have_students_interval():
    values = torch.tensor([0.5, 0.52, 0.49, 0.51])
    assert rate_interval(values) == pytest.approx(t_interval(values), abs=1e-4)


def test_rates_without_spread_or_alone():
    assert rate_interval(torch.ones(5)) == (1.0, 1.0)
    assert all(isnan(limit) for limit in rate_interval(torch.tensor([0.3])))
    assert all(isnan(limit) for limit in rate_interval(torch.tensor([])))
