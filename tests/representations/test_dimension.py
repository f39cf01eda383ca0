"""Intrinsic dimension: the formulas by hand, planted distances, and sets whose dimension is known."""

from math import isnan, log, nan, sqrt

import pytest
import torch
from intertwine.representations.errors import InputError
from intertwine.representations.geometry.dimension import inverse_lid, two_nn
from intertwine.representations.graph import NeighbourGraph, neighbour_graph
from torch import Tensor

from tests.factories import rand, rotation


def torus(seed: int, n: int, d: int) -> Tensor:
    """Uniform on a flat torus, d circles in 2d dimensions: constant density, and no border, where estimates sink."""
    angle = 2 * torch.pi * rand(seed, n, d, dtype=torch.float64)
    return torch.cat([angle.cos(), angle.sin()], dim=1)


def graph_of(distances: list[list[float]] | Tensor) -> NeighbourGraph:
    distances = torch.as_tensor(distances, dtype=torch.float64)
    return NeighbourGraph(torch.zeros(distances.shape, dtype=torch.int64), distances)


def test_two_nn_by_hand():
    found = two_nn(graph_of([[1, 2, 9], [2, 3, 9], [0.5, 4, 9], [1, 1, 9]]))
    assert found.value == pytest.approx(3 / (log(2) + log(1.5) + log(8)))
    assert (found.used, found.duplicates) == (4, 0)
    assert float(found) == found.value


def test_two_nn_leaves_out_and_counts_points_that_coincide_with_their_neighbour():
    rows = [[1, 2], [2, 3], [0.5, 4]]
    found = two_nn(graph_of([*rows, [0, 1], [0, 0]]))
    assert found.value == two_nn(graph_of(rows)).value
    assert (found.used, found.duplicates) == (3, 2)


@pytest.mark.parametrize("d", [1, 2, 7, 30])
def test_two_nn_is_unbiased_on_ratios_of_its_law(d):
    """μ = u^(−1/d): the mean of many estimates from 12 points each is d. N instead of N − 1 would be 9 % above."""
    ratios = rand(0, 4000, 12, dtype=torch.float64).pow(-1 / d)
    values = [two_nn(graph_of(torch.stack([torch.ones(12), row], dim=1))).value for row in ratios]
    assert sum(values) / 4000 == pytest.approx(d, rel=0.02)


def test_lid_by_hand():
    scores = inverse_lid(graph_of([[1, 2, 4, 8], [1, 1, 1, 1]]), k=4)
    assert scores.tolist() == pytest.approx([(log(8) + log(4) + log(2)) / 3, 0])
    assert scores.dtype == torch.float64
    assert inverse_lid(graph_of([[1, 2, 4, 8]]), k=3).tolist() == pytest.approx([(log(4) + log(2)) / 2])


def test_lid_leaves_out_neighbours_at_distance_zero():
    scores = inverse_lid(graph_of([[0, 0, 1, 2, 4], [0, 0, 0, 2, 4], [0, 0, 0, 0, 0]]), k=5)
    assert scores.tolist() == pytest.approx([(log(4) + log(2)) / 2, nan, nan], nan_ok=True)


@pytest.mark.parametrize("d", [1, 2, 7, 30])
def test_lid_is_unbiased_on_distances_of_its_law(d):
    """Distances to k − 1 points uniform in a ball whose radius is the distance to the last."""
    radii = rand(0, 20_000, 4, dtype=torch.float64).pow(1 / d).sort(dim=1).values
    scores = inverse_lid(graph_of(torch.cat([radii, torch.ones(20_000, 1)], dim=1)), k=5)
    assert 1 / float(scores.mean()) == pytest.approx(d, rel=0.02)
    # Averaging the dimensions themselves would be a third off, as MacKay and Ghahramani write: k − 1 = 4 over 3.
    assert float((1 / scores).mean()) == pytest.approx(4 / 3 * d, rel=0.06)


@pytest.mark.parametrize("d", [1, 2, 4])
def test_known_dimension(d):
    """Tolerance: three standard errors of TwoNN, d/√n each, and a tenth for curvature."""
    x = torus(0, 2000, d)
    graph = neighbour_graph(x, 20)
    assert two_nn(graph).value == pytest.approx(d, rel=3 / sqrt(2000) + 0.1)
    assert 1 / float(inverse_lid(graph).mean()) == pytest.approx(d, rel=0.1)


@pytest.mark.parametrize(("d", "tolerance"), [(2, 0.08), (5, 0.12), (10, 0.22)])
def test_known_dimension_of_a_cube(d, tolerance):
    """Near the border neighbours are missing, the more the higher d: estimates are below d, by this much at most."""
    graph = neighbour_graph(rand(1, 3000, d, dtype=torch.float64), 20)
    for value in (two_nn(graph).value, 1 / float(inverse_lid(graph).mean())):
        assert (1 - tolerance) * d < value < 1.05 * d


def test_dimension_is_that_of_the_set_and_not_of_the_space_around_it():
    x = torus(0, 1000, 2)
    lifted = x @ rotation(0, 50)[:4]
    for value, other in zip(*((two_nn(g).value, inverse_lid(g).mean()) for g in map(deep, (x, lifted))), strict=True):
        assert float(value) == pytest.approx(float(other), rel=1e-6)


def deep(x: Tensor) -> NeighbourGraph:
    return neighbour_graph(x, 20)


@pytest.mark.parametrize("move", [lambda x: x + 1e4, lambda x: 1e-9 * x, lambda x: x.flip(1)])
def test_invariances(move):
    x = torus(0, 300, 3)
    assert two_nn(deep(move(x))).value == pytest.approx(two_nn(deep(x)).value, rel=1e-6)
    torch.testing.assert_close(inverse_lid(deep(move(x))), inverse_lid(deep(x)), rtol=1e-5, atol=1e-9)


def test_degenerate_sets():
    constant = neighbour_graph(torch.ones(30, 3), 20)
    found = two_nn(constant)
    assert isnan(found.value)
    assert (found.used, found.duplicates) == (0, 30)
    assert inverse_lid(constant).isnan().all()
    # Each point twice: its nearest neighbour is its copy, and nothing is left for TwoNN; LID has 19 of 20.
    twice = neighbour_graph(torus(0, 300, 2).repeat(2, 1), 20)
    assert isnan(two_nn(twice).value)
    assert not inverse_lid(twice).isnan().any()
    assert isnan(two_nn(graph_of([[1, 1]] * 5)).value)
    assert isnan(two_nn(graph_of([[1, 2]] * 2)).value)


def test_a_graph_that_is_not_deep_enough():
    with pytest.raises(InputError, match="graph: expected at least 2 neighbours, received 1"):
        two_nn(graph_of([[1]]))
    with pytest.raises(InputError, match="graph: expected at least 20 neighbours, received 4"):
        inverse_lid(graph_of([[1, 2, 3, 4]]))
    with pytest.raises(InputError, match="k: expected at least 3, received 2"):
        inverse_lid(graph_of([[1, 2, 3, 4]]), k=2)
