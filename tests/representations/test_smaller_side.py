"""The smaller side of neighbour mixing: hubs do not fool it, and it is 1 where two sets are one."""

import pytest
import torch
from intertwine.representations.auc import auc
from intertwine.representations.errors import InputError
from intertwine.representations.geometry import (
    energy_coefficient,
    mixing_masked,
    mixing_of_union,
    neighbour_mixing,
    smaller_side_mixing,
)
from intertwine.representations.graph import neighbour_graph

from tests.factories import case, randn


def sides(a, b, **options):
    in_b = torch.arange(len(a) + len(b)) >= len(a)
    return mixing_of_union(torch.cat([a, b]), in_b, **options)(torch.ones(1, len(in_b), dtype=torch.bool))


def test_a_compact_hub_reads_mixed_by_the_mean_and_apart_by_the_smaller_side():
    """A compact cloud beside a wide one: all neighbours of both sets' points are in it. One direction separates them
    without error."""
    wide, compact = randn(1, 200, 128), 0.1 * randn(2, 200, 128)
    compact[:, 0] += 3.5
    assert auc(compact[:, 0], wide[:, 0]) > 0.999
    assert neighbour_mixing(compact, wide).value == pytest.approx(0.99, abs=0.02)
    assert smaller_side_mixing(compact, wide) < 0.001
    assert smaller_side_mixing(wide, compact) < 0.001
    assert energy_coefficient(compact, wide) > 0.15


def test_the_mean_is_neighbour_mixing():
    for n_a, n_b in ((40, 40), (30, 90)):
        with case(n_a, n_b):
            a, b = randn(1, n_a, 3), randn(2, n_b, 3) + 0.5
            found = sides(a, b, draws=200)
            scores = neighbour_mixing(a, b, draws=200)
            assert float(found.mean) == pytest.approx(scores.value, abs=0.03)
            assert float(found.a) == pytest.approx(float(scores.scores_a.nanmean()), abs=0.04)
            assert float(found.b) == pytest.approx(float(scores.scores_b.nanmean()), abs=0.04)
            assert min(float(found.a), float(found.b)) <= float(found.smaller) <= float(found.mean)


def test_the_noise_is_the_variance_over_random_divisions():
    points = torch.cat([randn(1, 60, 20), 0.3 * randn(2, 60, 20)])
    graph, every = neighbour_graph(points, 10), torch.ones(1, 120, dtype=torch.bool)
    differences, noise = [], []
    for seed in range(400):
        in_b = torch.randperm(120, generator=torch.Generator().manual_seed(seed)) < 60
        found = mixing_masked(graph, in_b, every)
        differences.append(float(found.a - found.b))
        noise.append(float(found.noise))
    assert max(noise) == pytest.approx(min(noise))  # of the points alone
    assert torch.tensor(differences).var() == pytest.approx(noise[0], rel=0.2)
    assert abs(torch.tensor(differences).mean()) < 0.1


@pytest.mark.parametrize(("n", "bias"), [(50, 0.045), (200, 0.025)])
def test_sets_of_one_distribution_give_nearly_one(n, bias):
    """The plain minimum is .08 too low at n = 50 and .04 at n = 200; corrected, it is .03 and .01."""
    found = [sides(randn(i, n, 24), randn(900 + i, n, 24)) for i in range(60 if n == 50 else 25)]
    corrected = sum(float(f.smaller) for f in found) / len(found)
    plain = sum(float(torch.minimum(f.a, f.b)) for f in found) / len(found)
    assert 1 - bias < corrected < 1.01
    assert corrected - plain > bias / 2


def test_it_follows_the_share_that_is_mixed_in():
    """A share m of one set drawn from the other's distribution: both sides are 2m/(1 + m) on average."""
    target, own = randn(1, 400, 8), randn(2, 400, 8) + 9
    for m in (0.0, 0.25, 0.5, 1.0):
        with case(m):
            mixed = torch.cat([randn(3, int(400 * m), 8), own[: 400 - int(400 * m)]])
            assert smaller_side_mixing(mixed, target) == pytest.approx(2 * m / (1 + m), abs=0.05)


def test_the_larger_set_is_subsampled():
    values = [smaller_side_mixing(randn(i, 40, 4), randn(50 + i, 360, 4)) for i in range(8)]
    assert sum(values) / 8 == pytest.approx(1, abs=0.06)


def test_graphs_are_built_once():
    a, b = randn(1, 30, 3), randn(2, 60, 3)
    graphs = {}
    first = sides(a, b, graphs=graphs)
    depths = dict(graphs)
    again = sides(a, b, graphs=graphs)
    assert all(graphs[depth] is graph for depth, graph in depths.items())
    assert torch.equal(first.mean, again.mean)


def test_bad_input_is_named():
    for a, b, k, message in (
        (torch.zeros(10, 2), torch.zeros(30, 2), 19, "k: expected 1 to 18 .* 10 and 30 points, received 19"),
        (torch.zeros(5, 2), torch.zeros(5, 3), 1, r"received \(5, 2\) and \(5, 3\)"),
        (torch.zeros(0, 2), torch.zeros(5, 2), 1, "at least one point in each"),
    ):
        with case(message), pytest.raises(InputError, match=message):
            smaller_side_mixing(a, b, k=k)
    with pytest.raises(InputError, match="in_b: expected points of both sets, received 5 and 0"):
        mixing_of_union(torch.zeros(5, 2), torch.zeros(5, dtype=torch.bool))
