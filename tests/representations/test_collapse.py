"""Neural collapse: Papyan et al.'s formulas written out, and features that have collapsed."""

from itertools import product
from math import isnan, sqrt

import pytest
import torch
from intertwine.representations.errors import InputError
from intertwine.representations.geometry.collapse import nc1, nc2, nc3

from tests.factories import case, randn, rotation


def simplex(classes: int, d: int, seed: int = 0) -> torch.Tensor:
    corners = torch.eye(classes, dtype=torch.float64) - 1 / classes
    return torch.cat([corners, torch.zeros(classes, d - classes, dtype=torch.float64)], 1) @ rotation(seed, d)


def features(seed: int, classes: int, d: int, n: int = 60) -> tuple[torch.Tensor, torch.Tensor]:
    labels = torch.arange(n) % classes
    return 2 * randn(seed, classes, d)[labels] + randn(seed + 1, n, d), labels


def nc1_written_out(x: torch.Tensor, labels: torch.Tensor) -> float:
    means = torch.stack([x[labels == c].mean(0) for c in labels.unique()])
    within = sum(torch.outer(p - q, p - q) for p, q in zip(x, means[labels], strict=True)) / len(x)
    centre = means.mean(0)
    between = sum(torch.outer(m - centre, m - centre) for m in means) / len(means)
    return float(torch.trace(within @ torch.linalg.pinv(between, rtol=1e-10, hermitian=True))) / len(means)


def means_of(x: torch.Tensor, labels: torch.Tensor) -> torch.Tensor:
    means = torch.stack([x[labels == c].mean(0) for c in labels.unique()])
    return means - means.mean(0)


@pytest.mark.parametrize(("classes", "d"), [(2, 5), (4, 9), (5, 3), (4, 100)])
def test_nc1_written_out(classes, d):
    x, labels = features(d, classes, d)
    assert nc1(x, labels) == pytest.approx(nc1_written_out(x, labels), rel=1e-6)


def test_nc1_of_unequal_classes_weighs_the_means_alike():
    labels = torch.tensor([0] * 5 + [1] * 20 + [2] * 9)
    x = 3 * randn(0, 3, 6)[labels] + randn(1, 34, 6)
    assert nc1(x, labels) == pytest.approx(nc1_written_out(x, labels), rel=1e-6)


@pytest.mark.parametrize(("classes", "d"), [(3, 4), (5, 3), (4, 50)])
def test_nc2_written_out(classes, d):
    x, labels = features(d, classes, d)
    rows = means_of(x, labels).tolist()
    norms = [sqrt(sum(v * v for v in row)) for row in rows]
    average = sum(norms) / classes
    equinorm = sqrt(sum((v - average) ** 2 for v in norms) / classes) / average
    cosines = [
        sum(p * q for p, q in zip(rows[i], rows[j], strict=True)) / norms[i] / norms[j]
        for i in range(classes)
        for j in range(classes)
        if i != j
    ]
    equiangular = sum(abs(c + 1 / (classes - 1)) for c in cosines) / len(cosines)
    assert nc2(x, labels) == pytest.approx((equinorm + equiangular) / 2)


def test_nc3_written_out():
    x, labels = features(3, 4, 6)
    weight, means = randn(9, 4, 6), means_of(x, labels)
    weight = weight - weight.mean(0)
    expected = sum(
        (float(w) / float(weight.norm()) - float(m) / float(means.norm())) ** 2
        for w, m in zip(weight.flatten(), means.flatten(), strict=True)
    )
    assert nc3(x, labels, weight + 5) == pytest.approx(sqrt(expected))


def test_collapsed_features_are_at_zero():
    labels = torch.arange(40) % 4
    means = simplex(4, 9) * 3 + randn(5, 1, 9)
    x = means[labels]
    assert nc1(x, labels) == pytest.approx(0, abs=1e-25)
    assert nc2(x, labels) == pytest.approx(0, abs=1e-12)
    assert nc3(x, labels, 0.1 * simplex(4, 9)) == pytest.approx(0, abs=1e-12)
    assert nc3(x, labels, -simplex(4, 9)) == pytest.approx(2)
    assert nc3(x, labels, simplex(4, 9)[[1, 0, 3, 2]]) > 1  # the order of the classes counts


def test_each_sees_its_own_part_of_the_collapse():
    labels = torch.arange(400) % 4
    means = simplex(4, 9)
    x = means[labels] + 0.1 * randn(0, 400, 9)
    assert nc1(means[labels] + 0.3 * randn(0, 400, 9), labels) == pytest.approx(9 * nc1(x, labels), rel=0.1)
    longer = means * torch.tensor([1.0, 1.0, 1.0, 2.0]).unsqueeze(1)
    assert nc2(longer[labels], labels) > 0.1
    assert nc1(longer[labels], labels) == pytest.approx(0, abs=1e-25)


def test_two_classes_are_always_a_simplex():
    x, labels = features(0, 2, 5)
    assert nc2(x, labels) == pytest.approx(0, abs=1e-12)


def test_rotation_scale_and_shift_change_nothing():
    """The direction that C class means do not span is rounding, and grows with the mean: its inverse must not count."""
    for mean, factor in product((1.0, 1e4, 1e7), (1e-8, 1e8)):
        with case(mean, factor):
            x, labels = features(0, 4, 6)
            q, weight = rotation(1, 6), randn(2, 4, 6)
            moved = factor * (x @ q + mean * randn(3, 1, 6))
            assert nc1(moved, labels) == pytest.approx(nc1(x, labels), rel=1e-5)
            assert nc2(moved, labels) == pytest.approx(nc2(x, labels), rel=1e-5)
            assert nc3(moved, labels, 3 * weight @ q + randn(4, 1, 6)) == pytest.approx(
                nc3(x, labels, weight), rel=1e-5
            )
            skew = torch.logspace(-1, 1, 6, dtype=torch.float64)
            assert abs(nc2(x * skew, labels) - nc2(x, labels)) > 0.01
            assert abs(nc3(x * skew, labels, weight) - nc3(x, labels, weight)) > 0.01


def test_a_skew_does_not_change_nc1_where_means_fill_the_space():
    """tr(Σ_W Σ_B⁻¹) is free of invertible maps as long as Σ_B has an inverse, and only then."""
    skew = torch.logspace(-1, 1, 3, dtype=torch.float64)
    x, labels = features(0, 5, 3)
    assert nc1(x * skew, labels) == pytest.approx(nc1(x, labels), rel=1e-9)
    x, labels = features(0, 3, 6)
    assert abs(nc1(x * torch.logspace(-1, 1, 6), labels) / nc1(x, labels) - 1) > 0.05


def test_coincident_means_are_nan():
    labels = torch.arange(12) % 3
    offsets = randn(0, 4, 5).repeat_interleave(3, 0)  # the same four points in every class
    # Added up in another order in each class: the means are equal up to rounding only.
    shuffled = torch.stack([randn(0, 4, 5)[i] for i in (0, 3, 2, 1, 1, 0, 2, 2, 3, 3, 0, 1)])
    assert sorted(shuffled[labels == 1].tolist()) == sorted(offsets[labels == 0].tolist())
    for x in (offsets, offsets + 1e3, shuffled + 1e3, torch.full((12, 5), 0.1, dtype=torch.float64)):
        assert isnan(nc1(x, labels))
        assert isnan(nc2(x, labels))
        assert isnan(nc3(x, labels, randn(1, 3, 5)))


def test_weights_that_are_equal_are_nan():
    x, labels = features(0, 3, 5)
    assert isnan(nc3(x, labels, torch.zeros(3, 5)))
    assert isnan(nc3(x, labels, torch.full((3, 5), 0.1)))


def test_one_image_a_class_has_no_width():
    x, labels = randn(0, 4, 6), torch.arange(4)
    assert nc1(x, labels) == 0


def test_bad_input_is_named():
    for call, message in (
        (lambda: nc1(torch.zeros(4, 2), torch.zeros(4, dtype=torch.int64)), "at least 2 classes"),
        (lambda: nc2(torch.full((4, 2), torch.nan), torch.arange(4)), "x: expected finite"),
        (lambda: nc2(torch.zeros(4, 2), torch.arange(3)), r"labels: expected int64 \(4,\)"),
        (lambda: nc3(randn(0, 4, 2), torch.arange(4), torch.zeros(3, 2)), r"weight: expected \(C, d\) = \(4, 2\)"),
        (lambda: nc3(randn(0, 4, 2), torch.arange(4), torch.full((4, 2), torch.nan)), "weight: expected finite"),
    ):
        with case(message), pytest.raises(InputError, match=message):
            call()
