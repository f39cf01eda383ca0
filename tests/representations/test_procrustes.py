"""Shape distance: what it must not react to, what it must, and that it is a distance."""

from itertools import product
from math import acos, cos, isnan, pi, sqrt

import pytest
import torch
from intertwine.representations.errors import InputError
from intertwine.representations.seeds import generator
from intertwine.representations.similarity.cca import cca
from intertwine.representations.similarity.procrustes import procrustes_distance, procrustes_score

from tests.factories import case, randn, rotation


def unit(x: torch.Tensor) -> torch.Tensor:
    x = x - x.mean(0)
    return x / x.norm()


def test_in_the_plane_by_trying_every_angle():
    """The best of all rotations and reflections, on a grid of 40,000."""
    x, y = unit(randn(0, 12, 2)), unit(randn(1, 12, 2))
    best = -1.0
    for mirror in (1.0, -1.0):
        angles = torch.linspace(0, 2 * pi, 20_001, dtype=torch.float64)
        c, s = angles.cos(), angles.sin()
        turns = torch.stack([torch.stack([c, -s], 1), torch.stack([mirror * s, mirror * c], 1)], 1)
        best = max(best, float(((x @ turns) * y).sum((1, 2)).max()))
    assert 0.1 < best < 0.9
    assert procrustes_distance(x, y) == pytest.approx(acos(best), abs=1e-7)


@pytest.mark.parametrize(("d", "e"), [(4, 4), (3, 7), (9, 2)])
def test_follows_the_nuclear_norm(d, e):
    x, y = randn(d, 25, d), randn(50 + e, 25, e)
    expected = acos(float(torch.linalg.svdvals(unit(x).T @ unit(y)).sum()))
    assert procrustes_distance(x, y) == pytest.approx(expected, abs=1e-9)
    assert procrustes_distance(y, x) == pytest.approx(expected, abs=1e-9)


def test_a_rotated_scaled_shifted_copy_is_at_zero():
    for d, mean in product((1, 5, 40), (0.0, 1e4)):
        with case(d, mean):
            x = randn(d, 30, d)
            copy = 7 * x @ rotation(1, d) + mean * randn(2, 1, d)
            assert procrustes_distance(x, copy) == pytest.approx(0, abs=1e-14 * (1 + mean))
            assert procrustes_distance(copy, x) == pytest.approx(0, abs=1e-14 * (1 + mean))


@pytest.mark.parametrize("mean", [0.0, 1e4])
def test_score_of_a_copy_is_one_where_the_fit_spans_it(mean):
    x = randn(0, 30, 40)
    copy = 7 * x @ rotation(1, 40) + mean * randn(2, 1, 40)
    assert procrustes_score(x[:, :5], 7 * x[:, :5] @ rotation(1, 5) + mean) == pytest.approx(1, abs=1e-9)
    # Forty dimensions and 15 images to fit: what is outside their span is missed, in y and of x.
    fits = procrustes_score(x, copy)
    assert fits < 0.3
    assert fits == pytest.approx(procrustes_score(x, x), abs=1e-6)


def test_score_without_enough_images_is_the_mean_over_completed_rotations():
    """Not whichever rotation the SVD's rounding completes: that would change with a rotation of x."""
    x, y = randn(0, 12, 9), randn(0, 12, 9) + 0.2 * randn(1, 12, 9)
    fit = torch.randperm(12, generator=generator(0, "procrustes", 12))[6:]
    held = torch.tensor([i for i in range(12) if i not in fit.tolist()])
    scores = []
    for first, second in ((fit, held), (held, fit)):
        a, b = x[first] - x[first].mean(0), y[first] - y[first].mean(0)
        left, singular, right = torch.linalg.svd(a.T @ b)
        scale = singular.sum() / a.square().sum()
        for sign in (1, -1):  # a rotation and its opposite: any such pair has the mean of all
            tail = torch.block_diag(torch.eye(5, dtype=torch.float64), sign * rotation(3, 4))
            missed = y[second] - y[first].mean(0) - scale * (x[second] - x[first].mean(0)) @ left @ tail @ right
            scores.append((float(missed.square().sum()), float((y[second] - y[first].mean(0)).square().sum())))
    missed, total = (sum(column) for column in zip(*scores, strict=True))
    assert procrustes_score(x, y) == pytest.approx(1 - missed / total, abs=1e-9)
    assert procrustes_score(x @ rotation(5, 9), y) == pytest.approx(procrustes_score(x, y), abs=1e-9)


def test_small_angles_keep_their_digits():
    """arccos of a number that rounds to 1 would give 0 or 2e-8."""
    x = randn(0, 30, 4)
    noise = unit(randn(1, 30, 4))
    small, smaller = (procrustes_distance(unit(x), unit(x) + s * noise) for s in (1e-6, 1e-9))
    assert 1e-7 < small < 2e-6
    assert smaller == pytest.approx(small * 1e-3, rel=1e-4)


@pytest.mark.parametrize("width", [5, 12])
def test_padding_with_zeros_changes_nothing(width):
    x, y = randn(0, 25, 5), randn(1, 25, 6)
    padded = torch.cat([x, torch.zeros(25, width, dtype=torch.float64)], dim=1)
    assert procrustes_distance(padded, y) == pytest.approx(procrustes_distance(x, y), abs=1e-12)
    assert procrustes_distance(padded @ rotation(2, 5 + width), x) == pytest.approx(0, abs=1e-13)
    assert procrustes_score(padded, y) == pytest.approx(procrustes_score(x, y), abs=1e-9)
    assert procrustes_score(y, padded) == pytest.approx(procrustes_score(y, x), abs=1e-9)


def test_a_linear_map_is_no_rotation():
    """As in netrep's tests: CCA cannot tell them apart, the shape distance can."""
    x = randn(0, 60, 5)
    skew = torch.diag(torch.logspace(-1, 1, 5, dtype=torch.float64))
    assert cca(x, x @ skew) == pytest.approx(1, abs=1e-9)
    assert procrustes_distance(x, x @ skew) > 0.3
    assert procrustes_score(x, x @ skew) < 0.9


def test_triangle_inequality():
    """Over widths, near and far: the hard case is a middle point on the way from one to the other."""
    for seed in range(8):
        with case(seed):
            x, z = randn(seed, 15, 4), randn(100 + seed, 15, 3 + seed)
            padded = torch.cat([x, torch.zeros(15, seed, dtype=torch.float64)], 1)[:, : z.shape[1]]
            middle = unit(padded) + unit(z) if seed % 2 else randn(200 + seed, 15, 6)
            to, on, direct = procrustes_distance(x, middle), procrustes_distance(middle, z), procrustes_distance(x, z)
            assert direct <= to + on + 1e-12
            assert to <= direct + on + 1e-12
            assert on <= direct + to + 1e-12


def test_a_geodesic_is_as_long_as_its_parts():
    """Aligned representations: the triangle inequality holds with equality, so that it can fail."""
    a = unit(randn(0, 20, 3))
    b = unit(randn(1, 20, 3))
    left, _, right = torch.linalg.svd(b.T @ a)
    b = b @ left @ right
    whole = procrustes_distance(a, b)
    middle = unit(a + b)
    assert procrustes_distance(a, middle) + procrustes_distance(middle, b) == pytest.approx(whole, abs=1e-9)


def test_range():
    """Orthogonal column spaces over the images: no rotation helps."""
    q = torch.linalg.qr(torch.cat([torch.ones(10, 1, dtype=torch.float64), randn(0, 10, 4)], 1)).Q[:, 1:]
    assert procrustes_distance(q[:, :2], q[:, 2:]) == pytest.approx(pi / 2, abs=1e-9)


def test_defect_in_sample_distance_shrinks_with_d():
    """Independent data look closer the wider they are; held out they are not close at all."""
    narrow, wide = ((randn(i, 30, d), randn(i + 1, 30, d)) for i, d in ((0, 2), (10, 300)))
    assert procrustes_distance(*wide) < 0.5 < procrustes_distance(*narrow)
    assert procrustes_score(*wide) < 0.05


def test_independent_data_score_about_nothing():
    values = [procrustes_score(randn(i, 100, 6), randn(300 + i, 100, 6)) for i in range(20)]
    assert sum(values) / 20 < 0.02
    assert min(values) > -0.3


def test_score_is_the_signal_share():
    """y = rotated x + noise: R² → share of y's variance that x explains."""
    x = randn(0, 4000, 3)
    y = 2 * x @ rotation(1, 3) + randn(2, 4000, 3)
    assert procrustes_score(x, y) == pytest.approx(4 / 5, abs=0.02)


@pytest.mark.parametrize(("d", "e"), [(4, 4), (6, 3), (3, 6)])
def test_score_of_a_doubled_set_is_the_squared_cosine(d, e):
    """Fit and held-out half alike, so that it is the in-sample R², cos² of the distance, in both directions."""
    x, y = randn(1, 20, d), randn(2, 20, e) + 0.8 * torch.cat([randn(1, 20, d), randn(3, 20, 6)], 1)[:, :e]
    expected = cos(procrustes_distance(x, y)) ** 2
    a, b = x - x.mean(0), y - y.mean(0)
    many = procrustes_score(a.repeat(300, 1), b.repeat(300, 1))
    assert many == pytest.approx(expected, abs=0.02)
    assert procrustes_score(b.repeat(300, 1), a.repeat(300, 1)) == pytest.approx(expected, abs=0.02)


def test_score_by_hand():
    """One feature each: sign and scale make the map a regression, fold by fold as the seed deals them."""
    x, y = randn(0, 10, 1), randn(1, 10, 1)
    order = torch.randperm(10, generator=generator(3, "procrustes", 10))
    missed = total = 0.0
    for held, fit in ((order[:5], order[5:]), (order[5:], order[:5])):
        mx, my = float(x[fit].mean()), float(y[fit].mean())
        slope = sum((float(x[i]) - mx) * (float(y[i]) - my) for i in fit) / sum((float(x[i]) - mx) ** 2 for i in fit)
        missed += sum((float(y[i]) - my - slope * (float(x[i]) - mx)) ** 2 for i in held)
        total += sum((float(y[i]) - my) ** 2 for i in held)
    assert procrustes_score(x, y, seed=3) == pytest.approx(1 - missed / total)


def test_constant_features_are_nan():
    for value in (0.0, 0.1, 1e8):
        with case(value):
            # The mean of 23 times 0.1 is not 0.1: what centring leaves is rounding.
            constant, y = torch.full((23, 3), value, dtype=torch.float64), randn(0, 23, 4)
            for a, b in ((constant, y), (y, constant), (constant, constant)):
                assert isnan(procrustes_distance(a, b))
                assert isnan(procrustes_score(a, b))


@pytest.mark.parametrize("factor", [1e-200, 1e-30, 1e30, 1e200])
def test_no_absolute_epsilon(factor):
    x, y = randn(0, 20, 3), randn(1, 20, 3)
    assert procrustes_distance(x * factor, y) == pytest.approx(procrustes_distance(x, y), abs=1e-12)
    assert procrustes_score(x * factor, y) == pytest.approx(procrustes_score(x, y), abs=1e-9)
    assert procrustes_score(x, y * factor) == pytest.approx(procrustes_score(x, y), abs=1e-9)


def test_two_points_have_one_shape():
    assert procrustes_distance(randn(0, 2, 3), randn(1, 2, 3)) == pytest.approx(0, abs=1e-12)


def test_duplicates_are_points_like_others():
    x, y = randn(0, 10, 3), randn(1, 10, 3)
    assert procrustes_distance(x.repeat(2, 1), y.repeat(2, 1)) == pytest.approx(procrustes_distance(x, y), abs=1e-12)


def test_bad_input_is_named():
    for call, message in (
        (lambda: procrustes_distance(torch.zeros(5, 2), torch.zeros(6, 2)), r"received \(5, 2\) and \(6, 2\)"),
        (lambda: procrustes_distance(torch.zeros(1, 2), torch.zeros(1, 2)), "at least 2 rows, received 1"),
        (lambda: procrustes_distance(torch.full((4, 2), torch.nan), torch.zeros(4, 2)), "x: expected finite"),
        (lambda: procrustes_score(torch.zeros(9, 2), torch.zeros(9, 2), folds=1), "folds: expected at least 2"),
        (lambda: procrustes_score(torch.zeros(3, 2), torch.zeros(3, 2)), "at least 4 rows, received 3"),
    ):
        with case(message), pytest.raises(InputError, match=message):
            call()


def test_chord_and_angle_agree():
    x, y = randn(0, 30, 4), randn(1, 30, 4)
    left, _, right = torch.linalg.svd(unit(x).T @ unit(y))
    chord = float((unit(x) @ left @ right - unit(y)).norm())
    assert chord == pytest.approx(sqrt(2 - 2 * cos(procrustes_distance(x, y))))
