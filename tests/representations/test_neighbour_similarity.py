"""Mutual neighbours and CKNNA against loops over images, their chance levels, and duplicates."""

from itertools import product
from math import dist, isnan, sqrt

import pytest
import torch
from intertwine.representations.errors import InputError
from intertwine.representations.graph import neighbour_graph
from intertwine.representations.similarity.neighbours import cknna, mutual_knn, mutual_knn_of_graphs

from tests.factories import case, randn, rotation


def nearest(x: list[list[float]], k: int) -> list[set[int]]:
    return [
        set(sorted((j for j in range(len(x)) if j != i), key=lambda j: dist(x[i], x[j]))[:k]) for i in range(len(x))
    ]


def dot(p: list[float], q: list[float]) -> float:
    return sum(a * b for a, b in zip(p, q, strict=True))


def cknna_by_loop(x: list[list[float]], y: list[list[float]], k: int) -> float:
    n = len(x)

    def parts(z: list[list[float]]) -> tuple[list[list[float]], list[set[int]]]:
        kernel = [[dot(p, q) for q in z] for p in z]
        near = [set(sorted((j for j in range(n) if j != i), key=lambda j: -kernel[i][j])[:k]) for i in range(n)]
        return [[v - sum(row) / n for v in row] for row in kernel], near

    (a, near_a), (b, near_b) = parts(x), parts(y)

    def align(u: list[list[float]], near_u: list[set[int]], v: list[list[float]], near_v: list[set[int]]) -> float:
        return sum(u[i][j] * v[i][j] for i in range(n) for j in near_u[i] & near_v[i])

    return align(a, near_a, b, near_b) / sqrt(align(a, near_a, a, near_a) * align(b, near_b, b, near_b))


@pytest.mark.parametrize(("n", "k"), [(8, 1), (8, 7), (40, 10)])
def test_mutual_neighbours_by_loop(n, k):
    x, y = randn(n, n, 4), randn(n, n, 4) + randn(n + 1, n, 4)
    a, b = nearest(x.tolist(), k), nearest(y.tolist(), k)
    expected = [len(p & q) / k for p, q in zip(a, b, strict=True)]
    scores = mutual_knn_of_graphs(neighbour_graph(x, k), neighbour_graph(y, k), k=k)
    assert scores.tolist() == pytest.approx(expected)
    assert mutual_knn(x, y, k=k) == pytest.approx(sum(expected) / n)
    assert mutual_knn(y, x, k=k) == pytest.approx(sum(expected) / n)


def test_a_deeper_graph_serves_smaller_k():
    x, y = randn(0, 50, 4), randn(0, 50, 4) + randn(1, 50, 4)
    deep = neighbour_graph(x, 30), neighbour_graph(y, 20)
    for k in (1, 5, 20):
        assert float(mutual_knn_of_graphs(*deep, k=k).mean()) == pytest.approx(mutual_knn(x, y, k=k))


def test_cosine_neighbours_are_those_of_the_directions():
    x, y = randn(0, 40, 4), randn(1, 40, 4) + randn(0, 40, 4)
    unit_x, unit_y = (z / z.norm(dim=1, keepdim=True) for z in (x, y))
    assert mutual_knn(x, y, metric="cosine") == pytest.approx(mutual_knn(unit_x, unit_y))
    assert mutual_knn(x, y, metric="cosine") != pytest.approx(mutual_knn(x, y))


@pytest.mark.parametrize("k", [3, 10, 30])
def test_chance_is_k_over_n_minus_one(k):
    values = torch.tensor([mutual_knn(randn(i, 60, 5), randn(200 + i, 60, 5), k=k) for i in range(40)])
    error = float(values.std()) / sqrt(40)
    assert float(values.mean()) == pytest.approx(k / 59, abs=4 * error)
    assert error < 0.01


def test_all_neighbours_are_always_shared():
    assert mutual_knn(randn(0, 12, 3), randn(1, 12, 3), k=11) == 1


@pytest.mark.parametrize("mean", [0.0, 1e4])
def test_mutual_neighbours_do_not_react_to_rotation_scale_and_shift(mean):
    x, y = randn(0, 40, 5), randn(0, 40, 5) + randn(1, 40, 5)
    moved = 1e-4 * (x @ rotation(2, 5)) + mean * randn(3, 1, 5) * 1e-4
    assert mutual_knn(moved, x) == 1
    assert mutual_knn(moved, y) == pytest.approx(mutual_knn(x, y))
    skew = torch.logspace(-2, 1, 5, dtype=torch.float64)
    assert mutual_knn(x * skew, x) < 0.7


def test_defect_duplicates_and_column_zero_as_self():
    """Every image twice: its copy is its nearest neighbour in both. Who drops "the nearest, itself" counts the point as
    its own neighbour, or its copy as nobody's."""
    x, y = randn(0, 30, 4).repeat(2, 1), randn(1, 30, 4).repeat(2, 1)
    assert mutual_knn(x, y, k=1) == 1
    assert mutual_knn(x, y, k=5) == pytest.approx(
        sum(len(p & q) / 5 for p, q in zip(nearest(x.tolist(), 5), nearest(y.tolist(), 5), strict=True)) / 60
    )


@pytest.mark.parametrize(("n", "k", "d"), [(9, 3, 4), (30, 10, 4), (12, 11, 3), (25, 5, 60)])
def test_cknna_by_loop(n, k, d):
    x, y = randn(n, n, d), randn(n, n, d) + randn(n + 1, n, d)
    expected = cknna_by_loop(x.tolist(), y.tolist(), k)
    assert cknna(x, y, k=k) == pytest.approx(expected, abs=1e-9)
    assert cknna(y, x, k=k) == pytest.approx(expected, abs=1e-9)


def test_cknna_of_a_copy_is_one_and_it_needs_the_origin():
    x, y = randn(0, 40, 5), randn(0, 40, 5) + randn(1, 40, 5)
    assert cknna(x, 3 * x @ rotation(2, 5)) == pytest.approx(1, abs=1e-12)
    assert cknna(1e-20 * x @ rotation(2, 5), y) == pytest.approx(cknna(x, y), abs=1e-9)
    assert abs(cknna(x + 2, y) - cknna(x, y)) > 0.01


def test_cknna_of_independent_data_is_about_k_over_n_minus_one():
    """Not 0: pairs that are neighbours in both have kernels above the mean in both."""
    values = torch.tensor([cknna(randn(i, 60, 5), randn(200 + i, 60, 5), k=10) for i in range(40)])
    assert 0.6 < float(values.mean()) / (10 / 59) < 1.1
    assert float(values.min()) > 0


@pytest.mark.parametrize("factor", [1e-200, 1e-8, 1e8, 1e200])
def test_no_absolute_epsilon(factor):
    x, y = randn(0, 40, 5), randn(0, 40, 5) + randn(1, 40, 5)
    assert mutual_knn(x * factor, y) == pytest.approx(mutual_knn(x, y))
    assert cknna(x * factor, y) == pytest.approx(cknna(x, y), abs=1e-9)


def test_cknna_sees_what_neighbours_share_and_not_far_structure():
    """Four blobs, placed anew, with the same small differences inside: near agreement with little agreement afar."""
    labels = torch.arange(80) % 4
    inside = randn(0, 80, 3)
    x, y = (torch.cat([30 * randn(i, 4, 3)[labels], inside], 1) for i in (1, 2))
    assert mutual_knn(x, y, k=10) > 0.9
    assert mutual_knn(x, torch.cat([30 * randn(2, 4, 3)[labels], randn(9, 80, 3)], 1), k=10) < 0.75


def test_constant_features_are_nan():
    """Their neighbours are whoever comes first: not to be taken for agreement."""
    for measure, value in product((mutual_knn, cknna), (0.0, 0.1, 1e8)):
        with case(measure, value):
            # The mean of 23 times 0.1 is not 0.1: what centring leaves is rounding.
            constant, y = torch.full((23, 3), value, dtype=torch.float64), randn(0, 23, 4)
            for a, b in ((constant, y), (y, constant), (constant, constant)):
                assert isnan(measure(a, b))
            assert isnan(measure(randn(3, 1, 7).repeat(23, 1), y))


def test_more_features_than_images():
    x = randn(0, 15, 200)
    assert mutual_knn(x, x @ rotation(1, 200), k=5) == 1
    assert cknna(x, x @ rotation(1, 200), k=5) == pytest.approx(1, abs=1e-9)


def test_bad_input_is_named():
    for call, message in (
        (lambda: mutual_knn(torch.zeros(15, 2), torch.zeros(16, 2)), r"received \(15, 2\) and \(16, 2\)"),
        (lambda: mutual_knn(randn(0, 10, 2), randn(1, 10, 2)), "at least 11 rows, received 10"),
        (lambda: mutual_knn(randn(0, 10, 2), randn(1, 10, 2), k=0), "k: expected 1 to 9"),
        (lambda: mutual_knn(randn(0, 10, 2), randn(1, 10, 2), k=3, metric="l1"), "received 'l1'"),
        (lambda: mutual_knn(torch.full((12, 2), torch.nan), randn(1, 12, 2)), "x: expected finite"),
        (lambda: cknna(randn(0, 10, 2), randn(1, 10, 2), k=0), "k: expected at least 1 neighbour, received 0"),
        (lambda: cknna(randn(0, 10, 2), randn(1, 10, 2)), "at least 11 rows, received 10"),
        (
            lambda: mutual_knn_of_graphs(neighbour_graph(randn(0, 9, 2), 3), neighbour_graph(randn(1, 9, 2), 5), k=4),
            r"4 deep, received \(9, 3\) and \(9, 5\)",
        ),
        (
            lambda: mutual_knn_of_graphs(neighbour_graph(randn(0, 9, 2), 3), neighbour_graph(randn(1, 9, 2), 3), k=0),
            "0 deep, received",
        ),
        (
            lambda: mutual_knn_of_graphs(neighbour_graph(randn(0, 9, 2), 3), neighbour_graph(randn(1, 8, 2), 3), k=3),
            r"received \(9, 3\) and \(8, 3\)",
        ),
    ):
        with case(message), pytest.raises(InputError, match=message):
            call()
