"""RSA against a loop over pairs of images; SciPy's correlations are in tests/parity."""

from itertools import combinations, product
from math import dist, isnan, sqrt

import pytest
import torch
from intertwine.representations.errors import InputError
from intertwine.representations.similarity.rsa import dissimilarities, rsa, rsa_masked

from tests.factories import case, randn, rotation


def pearson(a: list[float], b: list[float]) -> float:
    ma, mb = sum(a) / len(a), sum(b) / len(b)
    cross = sum((p - ma) * (q - mb) for p, q in zip(a, b, strict=True))
    return cross / sqrt(sum((p - ma) ** 2 for p in a) * sum((q - mb) ** 2 for q in b))


def ranks(values: list[float]) -> list[float]:
    return [sum(w < v for w in values) + sum(w == v for w in values) / 2 for v in values]


def euclidean(x: torch.Tensor) -> list[float]:
    return [dist(p, q) for p, q in combinations(x.tolist(), 2)]


def by_correlation(x: torch.Tensor) -> list[float]:
    return [1 - pearson(p, q) for p, q in combinations(x.tolist(), 2)]


KINDS = {"euclidean": euclidean, "correlation": by_correlation}


def test_follows_the_loop():
    for kind, n in product(KINDS, (4, 11, 30)):
        with case(kind, n):
            x, y = randn(n, n, 5), randn(n, n, 5)[:, :4] + randn(n + 1, n, 4)
            a, b = KINDS[kind](x), KINDS[kind](y)
            assert rsa(x, y, dissimilarity=kind) == pytest.approx(pearson(ranks(a), ranks(b)), abs=1e-12)
            assert rsa(x, y, dissimilarity=kind, correlation="pearson") == pytest.approx(pearson(a, b), abs=1e-9)
            assert rsa(y, x, dissimilarity=kind) == pytest.approx(rsa(x, y, dissimilarity=kind), abs=1e-12)


@pytest.mark.parametrize("correlation", ["spearman", "pearson"])
@pytest.mark.parametrize("mean", [0.0, 1e4])
def test_rotation_scale_and_shift_of_one_side_change_nothing(correlation, mean):
    x, y = randn(0, 25, 6), randn(0, 25, 6) + randn(1, 25, 6)
    moved = 1e-3 * x @ rotation(2, 6) + mean
    assert rsa(moved, y, correlation=correlation) == pytest.approx(rsa(x, y, correlation=correlation), abs=1e-6)
    assert rsa(moved, x, correlation=correlation) == pytest.approx(1, abs=1e-6)
    skew = torch.logspace(-1, 1, 6, dtype=torch.float64)
    assert abs(rsa(x * skew, y, correlation=correlation) - rsa(x, y, correlation=correlation)) > 0.01


def test_correlation_dissimilarity_is_by_image():
    """It takes out each image's own mean and scale."""
    x, y = randn(0, 15, 6), randn(1, 15, 6)
    moved = x * (randn(2, 15, 1).abs() + 0.1) + 5 * randn(3, 15, 1)
    expected = rsa(x, y, dissimilarity="correlation")
    assert rsa(moved, y, dissimilarity="correlation") == pytest.approx(expected, abs=1e-9)
    assert abs(rsa(moved, y) - rsa(x, y)) > 0.01


def test_equal_up_to_rounding_is_a_tie():
    """Classes that have collapsed to the corners of a simplex: only two distances, and a rotation makes thousands of
    them by rounding. Ranks of those would bring the similarity with itself down to .87."""
    corners = torch.eye(3, dtype=torch.float64)[torch.arange(60) % 3]
    copy = torch.cat([corners, 0 * corners], 1) @ rotation(0, 6)
    assert rsa(corners, copy) == pytest.approx(1, abs=1e-12)


def test_ties_take_their_mean_rank():
    x = torch.tensor([[0.0], [1.0], [2.0], [3.0], [5.0]])
    y = torch.tensor([[0.0], [2.0], [2.0], [1.0], [7.0]])
    assert rsa(x, y) == pytest.approx(pearson(ranks(euclidean(x)), ranks(euclidean(y))), abs=1e-12)


def test_independent_data_are_about_zero():
    values = [rsa(randn(i, 30, 5), randn(400 + i, 30, 5)) for i in range(60)]
    spread = float(torch.tensor(values).std())
    assert sum(values) / 60 == pytest.approx(0, abs=3.5 * spread / sqrt(60))
    # Pairs share images: the spread is not that of 435 independent pairs.
    assert spread > 1.3 / sqrt(30 * 29 / 2)


def test_constant_features_are_nan():
    for value, correlation in product((0.0, 0.1, 1e8), ("spearman", "pearson")):
        with case(value, correlation):
            constant, y = torch.full((12, 3), value, dtype=torch.float64), randn(0, 12, 4)
            assert isnan(rsa(constant, y, correlation=correlation))
            assert isnan(rsa(y, constant, correlation=correlation))


def test_equidistant_points_are_nan():
    assert isnan(rsa(torch.eye(6, dtype=torch.float64) @ rotation(0, 6), randn(1, 6, 3)))


@pytest.mark.parametrize("factor", [1e-30, 1e30])
def test_no_absolute_epsilon(factor):
    x, y = randn(0, 15, 3), randn(1, 15, 3)
    for correlation in ("spearman", "pearson"):
        assert rsa(x * factor, y, correlation=correlation) == pytest.approx(rsa(x, y, correlation=correlation))


@pytest.mark.parametrize("correlation", ["spearman", "pearson"])
@pytest.mark.parametrize("kind", KINDS)
def test_of_kept_equals_the_subset(kind, correlation):
    x, y = randn(0, 24, 4), randn(1, 24, 4) + randn(0, 24, 4)
    keep = torch.rand(8, 24, generator=torch.Generator().manual_seed(0)) < 0.6
    values = rsa_masked(dissimilarities(x, kind), dissimilarities(y, kind), keep, correlation=correlation)
    assert values.shape == (8,)
    for row, value in zip(keep, values.tolist(), strict=True):
        assert value == pytest.approx(rsa(x[row], y[row], dissimilarity=kind, correlation=correlation), abs=1e-9)


def test_of_kept_is_nan_below_four_images():
    keep = torch.zeros(3, 10, dtype=torch.bool)
    keep[0, :3] = True
    keep[1, :1] = True
    a, b = dissimilarities(randn(0, 10, 3)), dissimilarities(randn(1, 10, 3))
    assert rsa_masked(a, b, keep).isnan().all()


def test_does_not_tell_a_reflection_apart():
    x = randn(0, 12, 3)
    assert rsa(x, -x) == pytest.approx(1, abs=1e-12)


def test_bad_input_is_named():
    for call, message in (
        (lambda: rsa(torch.zeros(5, 2), torch.zeros(6, 2)), r"received \(5, 2\) and \(6, 2\)"),
        (lambda: rsa(torch.zeros(3, 2), torch.zeros(3, 2)), "at least 4 rows, received 3"),
        (lambda: rsa(randn(0, 5, 2), randn(1, 5, 2), dissimilarity="cosine"), "received 'cosine'"),
        (lambda: rsa(randn(0, 5, 2), randn(1, 5, 2), correlation="kendall"), "received 'kendall'"),
        (lambda: rsa(torch.full((5, 2), torch.nan), randn(1, 5, 2)), "x: expected finite"),
        (
            lambda: rsa(torch.full((5, 3), 0.1, dtype=torch.float64), randn(1, 5, 3), dissimilarity="correlation"),
            "received a constant row",
        ),
    ):
        with case(message), pytest.raises(InputError, match=message):
            call()
