"""Silhouette against a loop; parity with scikit-learn is in tests/parity."""

from itertools import product
from math import dist

import pytest
import torch
from intertwine.representations.errors import InputError
from intertwine.representations.geometry import silhouette, silhouette_masked

from tests.factories import case, randn


def by_loop(a: list[list[float]], b: list[list[float]]) -> float:
    def of_set(own: list[list[float]], other: list[list[float]]) -> float:
        total = 0.0
        for i, p in enumerate(own):
            alpha = sum(dist(p, q) for j, q in enumerate(own) if j != i) / (len(own) - 1)
            beta = sum(dist(p, q) for q in other) / len(other)
            total += (beta - alpha) / max(alpha, beta) if max(alpha, beta) > 0 else 0.0
        return total / len(own)

    return (of_set(a, b) + of_set(b, a)) / 2


def test_follows_the_loop():
    for (n, m), apart in product(((2, 2), (7, 7), (3, 19), (60, 4)), (0.0, 1.5)):
        with case(n, m, apart):
            a, b = randn(n, n, 3), randn(100 + m, m, 3) + apart
            assert silhouette(a, b) == pytest.approx(by_loop(a.tolist(), b.tolist()))
            assert silhouette(b, a) == pytest.approx(silhouette(a, b))


def test_the_smaller_set_is_not_drowned():
    """The 3 points of a sit in the midst of b: their scores pull the value down by half, not by 3/63."""
    a, b = 0.01 * randn(1, 3, 2) + 5, torch.cat([0.01 * randn(2, 30, 2), 0.01 * randn(3, 30, 2) + 5])
    assert silhouette(a, b) == pytest.approx(by_loop(a.tolist(), b.tolist()))
    assert silhouette(a, b) < 0.6


def test_ends():
    assert silhouette(randn(1, 30, 2), randn(2, 30, 2) + 1e4) == pytest.approx(1, abs=1e-3)
    together = [silhouette(randn(i, 200, 2), randn(100 + i, 200, 2)) for i in range(5)]
    assert sum(together) / 5 == pytest.approx(0, abs=0.02)


def test_negative_when_the_sets_are_split():
    """Every point is far from its own set's other half and near the other set's: α ≈ 10, β ≈ 5."""
    assert silhouette(torch.tensor([[0.0], [10.0]]), torch.tensor([[0.1], [9.9]])) == pytest.approx(-0.5, abs=0.02)


def test_coincident_points_score_zero():
    assert silhouette(torch.ones(4, 3), torch.ones(4, 3)) == 0
    # Half of the points score 1, those that coincide with the other set's score 0 on the own side.
    a, b = torch.tensor([[0.0], [0.0], [0.0]]), torch.tensor([[0.0], [0.0], [3.0]])
    assert silhouette(a, b) == pytest.approx(by_loop(a.tolist(), b.tolist()))


def test_coincident_points_score_zero_in_large_sets_too():
    """Above 25 rows torch.cdist takes a shortcut in which a point is not at distance 0 from its copy."""
    point = randn(1, 1, 16).repeat(40, 1)
    assert silhouette(point, point) == 0


def test_of_kept_equals_recomputation_on_the_subset():
    a, b = randn(1, 14, 3), randn(2, 9, 3) + 0.7
    points, in_a = torch.cat([a, b]), torch.arange(23) < 14
    keep = torch.rand(30, 23, generator=torch.Generator().manual_seed(0)) < 0.6
    distances = torch.tensor([[dist(p, q) for q in points.tolist()] for p in points.tolist()], dtype=torch.float64)
    values = silhouette_masked(distances, in_a, keep)
    assert values.shape == (30,)
    for row, value in zip(keep, values.tolist(), strict=True):
        assert value == pytest.approx(by_loop(points[row & in_a].tolist(), points[row & ~in_a].tolist()))


def test_of_kept_is_nan_below_two_points():
    for kept_a, kept_b in ((1, 5), (5, 1), (0, 5), (0, 0)):
        with case(kept_a, kept_b):
            keep = torch.zeros(1, 10, dtype=torch.bool)
            keep[0, :kept_a] = True
            keep[0, 5 : 5 + kept_b] = True
            points = randn(1, 10, 2)
            value = silhouette_masked(torch.cdist(points, points), torch.arange(10) < 5, keep)
            assert value.isnan().all()


def test_a_set_of_one_is_an_error():
    for n, m in ((1, 5), (5, 1)):
        with case(n, m), pytest.raises(InputError, match=f"at least 2 points in each, received {n} and {m}"):
            silhouette(torch.zeros(n, 2), torch.zeros(m, 2))


def test_bad_shapes():
    with pytest.raises(InputError, match=r"received \(5, 2\) and \(5, 3\)"):
        silhouette(torch.zeros(5, 2), torch.zeros(5, 3))
