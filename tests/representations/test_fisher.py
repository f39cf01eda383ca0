"""Fisher ratio against a loop, its chance level, and subsets."""

from math import inf, isnan

import pytest
import torch
from intertwine.representations.errors import InputError
from intertwine.representations.geometry.fisher import fisher_ratio, fisher_ratio_masked, scatter

from tests.factories import case, randn


def by_loop(x: torch.Tensor, labels: torch.Tensor) -> float:
    rows, classes = x.tolist(), labels.tolist()

    def mean(points: list[list[float]]) -> list[float]:
        return [sum(column) / len(points) for column in zip(*points, strict=True)]

    def squared(p: list[float], q: list[float]) -> float:
        return sum((a - b) ** 2 for a, b in zip(p, q, strict=True))

    centre, between, within = mean(rows), 0.0, 0.0
    for c in sorted(set(classes)):
        members = [p for p, label in zip(rows, classes, strict=True) if label == c]
        between += len(members) * squared(mean(members), centre)
        within += sum(squared(p, mean(members)) for p in members)
    return between / within


@pytest.mark.parametrize("d", [1, 4, 90])
def test_follows_the_loop(d):
    labels = torch.tensor([7, 7, 7, -2, -2, 5, 5, 5, 5, 5])
    x = randn(d, 10, d) + 0.5 * labels.unsqueeze(1)
    assert fisher_ratio(x, labels) == pytest.approx(by_loop(x, labels))


def test_scatter_adds_up_to_the_total():
    """S_B + S_W = S_T, as matrices."""
    labels = torch.arange(30) % 4
    x = randn(0, 30, 5) + 3
    means, within, sizes = scatter(x, labels)
    centred = x - x.mean(0)
    total = means.T @ (sizes.unsqueeze(1) * means) + within.T @ within
    torch.testing.assert_close(total, centred.T @ centred)


@pytest.mark.parametrize("mean", [1.0, 1e4, 1e7])
def test_rotation_scale_and_shift_change_nothing(mean):
    labels = torch.arange(40) % 3
    x = randn(0, 40, 5) + randn(1, 3, 5)[labels]
    moved = 1e-3 * (x @ torch.linalg.qr(randn(2, 5, 5)).Q + mean * randn(3, 1, 5))
    assert fisher_ratio(moved, labels) == pytest.approx(fisher_ratio(x, labels), rel=1e-6)
    skew = torch.logspace(-1, 1, 5, dtype=torch.float64)
    assert abs(fisher_ratio(x * skew, labels) / fisher_ratio(x, labels) - 1) > 0.05


@pytest.mark.parametrize(("n", "classes", "d"), [(60, 2, 5), (60, 10, 5), (40, 5, 300)])
def test_chance_is_not_zero(n, classes, d):
    labels = torch.arange(n) % classes
    values = [fisher_ratio(randn(i, n, d), labels) for i in range(100)]
    assert sum(values) / 100 == pytest.approx((classes - 1) / (n - classes), rel=0.15)


def test_points_for_classes():
    labels = torch.arange(12) % 3
    assert fisher_ratio(randn(0, 3, 4)[labels] + 0.1, labels) == inf
    many = torch.arange(33) % 3
    assert fisher_ratio(randn(0, 3, 4)[many] + 0.1, many) == inf  # where class means are rounded
    assert fisher_ratio(torch.arange(3.0).unsqueeze(1), torch.arange(3)) == inf  # one image a class
    for value in (0.0, 0.1, 1e8):
        for n in (12, 23, 33):  # the mean of 23 times 0.1 is not 0.1, nor that of 11 in a class of 33
            assert isnan(fisher_ratio(torch.full((n, 4), value, dtype=torch.float64), torch.arange(n) % 3))


def test_points_that_differ_in_the_last_bit_coincide():
    """As after a rotation or a normalisation: rounding is no width, and no distance between classes."""
    labels = torch.arange(34) % 2
    up = torch.randint(2, (34, 4), generator=torch.Generator().manual_seed(0)).bool()
    for base in (torch.full((34, 4), 0.1, dtype=torch.float64), 1e8 + randn(0, 1, 4).repeat(34, 1)):
        point = torch.where(up, base.nextafter(base.new_tensor(torch.inf)), base)
        assert len(point.unique(dim=0)) > 4
        assert isnan(fisher_ratio(point, labels))
        assert fisher_ratio(point + labels.unsqueeze(1) * base.abs(), labels) == inf


def test_of_kept_equals_the_subset():
    labels = torch.arange(30) % 4
    x = randn(0, 30, 5) + randn(1, 4, 5)[labels] + 100
    keep = torch.rand(20, 30, generator=torch.Generator().manual_seed(0)) < 0.5
    values = fisher_ratio_masked(x, labels, keep)
    assert values.shape == (20,)
    for row, value in zip(keep, values.tolist(), strict=True):
        assert value == pytest.approx(by_loop(x[row], labels[row]), rel=1e-9)


def test_of_kept_in_degenerate_subsets():
    labels = torch.tensor([0, 0, 0, 1, 1, 1])
    x = torch.cat([randn(0, 6, 3)])
    x[1], x[4] = x[0], x[3]
    keep = torch.tensor(
        [
            [1, 1, 1, 0, 0, 0],  # one class
            [0, 0, 0, 0, 0, 0],  # nothing
            [1, 1, 0, 1, 1, 0],  # two classes, each a point
            [1, 0, 0, 0, 0, 1],  # one image each
            [1, 1, 1, 0, 0, 1],
        ],
        dtype=torch.bool,
    )
    one, nothing, points, singles, proper = fisher_ratio_masked(x, labels, keep).tolist()
    assert isnan(one)
    assert isnan(nothing)
    assert points == inf
    assert singles == inf
    assert proper == pytest.approx(by_loop(x[keep[4]], labels[keep[4]]))


def test_duplicates_count():
    labels = torch.arange(10) % 2
    x = randn(0, 10, 3)
    assert fisher_ratio(x.repeat(3, 1), labels.repeat(3)) == pytest.approx(fisher_ratio(x, labels))


def test_bad_input_is_named():
    for x, labels, message in (
        (torch.zeros(5, 2), torch.zeros(5, dtype=torch.int64), "at least 2 classes"),
        (torch.zeros(5, 2), torch.zeros(4, dtype=torch.int64), r"labels: expected int64 \(5,\)"),
        (torch.zeros(5, 2), torch.arange(5.0), "received torch.float32"),
        (torch.zeros(1, 2), torch.zeros(1, dtype=torch.int64), "at least 2 rows, received 1"),
        (torch.full((4, 2), torch.nan), torch.arange(4), "x: expected finite"),
    ):
        with case(message), pytest.raises(InputError, match=message):
            fisher_ratio(x, labels)
