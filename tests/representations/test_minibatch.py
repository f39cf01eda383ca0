"""The minibatch estimate of CKA against loops, and what it leaves out."""

from math import isnan, sqrt

import pytest
import torch
from intertwine.representations.errors import InputError
from intertwine.representations.similarity.cka import cka
from intertwine.representations.similarity.minibatch import MinibatchCKA, minibatch_cka

from tests.factories import case, randn
from tests.representations.hsic import gram_forms, pairs_of, related, slow_hsic


def test_minibatch_is_the_ratio_of_mean_hsics():
    x, y = related(0, 24, 3, 4)
    batches = list(zip(x.split(6), y.split(6), strict=True))
    xy, xx, yy = (
        sum(slow_hsic(*p) for p in pairs) / 4
        for pairs in (batches, [(a, a) for a, _ in batches], [(b, b) for _, b in batches])
    )
    assert minibatch_cka(batches) == pytest.approx(xy / sqrt(xx * yy), abs=1e-11)
    assert minibatch_cka([(x, y)]) == pytest.approx(cka(x, y), abs=1e-12)  # one batch: exact


def test_defect_short_last_batch_weighted_equally():
    """Rows count the same wherever a batch ends: the mean of HSICs is weighted by rows."""
    x, y = related(0, 26, 3, 4)
    x[-4:] *= 3
    sizes = [11, 11, 4]
    batches = list(zip(x.split(sizes), y.split(sizes), strict=True))

    def ratio(weights: list[int]) -> float:
        hsics = torch.tensor([[exact for exact, _ in gram_forms(a, b)] for a, b in batches], dtype=torch.float64)
        xy, xx, yy = (torch.tensor(weights, dtype=torch.float64) @ hsics).tolist()
        return xy / sqrt(xx * yy)

    assert minibatch_cka(batches) == pytest.approx(ratio(sizes), abs=1e-11)
    assert abs(ratio(sizes) - ratio([1, 1, 1])) > 0.01


def test_minibatch_is_noisier_than_the_exact_value_and_not_clamped():
    """Independent data, n = 128, b = 16: both 0 on average, with a standard deviation √(n/b) ≈ 2.8 times as large."""
    exact, estimate = [], []
    for i in range(200):
        x, y = randn(i, 128, 8), randn(5000 + i, 128, 8)
        exact.append(cka(x, y))
        estimate.append(minibatch_cka(zip(x.split(16), y.split(16), strict=True)))
    exact, estimate = torch.tensor(exact), torch.tensor(estimate)
    assert float(estimate.mean()) == pytest.approx(0, abs=3.5 * float(estimate.std()) / sqrt(200))
    assert (estimate < 0).float().mean() > 0.3
    assert 2 < float(estimate.std() / exact.std()) < 4


def test_minibatch_of_sorted_data_leaves_out_what_is_between_classes():
    labels = torch.arange(160) // 20
    means = randn(0, 8, 6)
    x, y = means[labels] + 0.3 * randn(1, 160, 6), means[labels] + 0.3 * randn(2, 160, 6)
    shuffled = torch.randperm(160, generator=torch.Generator().manual_seed(0))
    assert cka(x, y) > 0.8
    assert minibatch_cka(zip(x.split(20), y.split(20), strict=True)) < 0.2
    assert minibatch_cka(zip(x[shuffled].split(20), y[shuffled].split(20), strict=True)) > 0.8


def test_minibatch_of_every_pair():
    x = {"a": randn(0, 60, 3), "b": randn(1, 60, 50) + 100, "flat": torch.ones(60, 2).double() / 3}
    y = {"c": x["a"].square(), "d": -2 * x["b"]}
    values = pairs_of(x, y, 15, MinibatchCKA).compute().values
    for i, u in enumerate((x["a"], x["b"])):
        for j, v in enumerate(y.values()):
            expected = minibatch_cka(zip(u.split(15), v.split(15), strict=True))
            assert float(values[i, j]) == pytest.approx(expected, abs=1e-11)
    assert float(values[1, 1]) == pytest.approx(1)
    assert values[2].isnan().all()


def test_minibatch_in_float32_at_any_scale_and_mean():
    for scale in (1e-30, 1e30):
        with case(scale):
            x, y = related(0, 64, 20, 30)
            expected = minibatch_cka(zip(x.split(16), y.split(16), strict=True))
            assert abs(expected) > 0.05
            a, b = (x * scale).float(), (y + 100 * y.std()).float()
            assert minibatch_cka(zip(a.split(16), b.split(16), strict=True)) == pytest.approx(expected, abs=1e-4)
            flat = torch.full((16, 3), 0.1 * scale)
            assert isnan(minibatch_cka([(flat, a[:16])]))


def test_minibatch_bad_input_is_named():
    for batches, message in (
        ([], "at least one batch before compute, received none"),
        ([(randn(0, 8, 2), randn(1, 8, 2)), (randn(0, 3, 2), randn(1, 3, 2))], "at least 4 rows, received 3"),
        ([(randn(0, 8, 2), randn(1, 7, 2))], "^y: expected 8 rows"),
    ):
        with case(message), pytest.raises(InputError, match=message):
            minibatch_cka(batches)
