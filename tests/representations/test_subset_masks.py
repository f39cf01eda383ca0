"""Neighbours and mixing of kept points, against a graph and a loop made anew on those points alone."""

from itertools import product
from math import dist, isnan

import pytest
import torch
from intertwine.probes.neurons import neuron_overlap_masked
from intertwine.representations import InputError, neighbour_graph
from intertwine.representations.geometry import (
    displacement_cosine_masked,
    distance_ratio_masked,
    fisher_ratio_masked,
    mixing_masked,
    neighbour_mixing,
    purity,
    residual_energy_masked,
    silhouette_masked,
    uniformity_masked,
)
from intertwine.representations.graph import NeighbourGraph, pairwise_distances
from intertwine.representations.similarity import cka_masked, dissimilarities, gram, rsa_masked
from intertwine.representations.subset_masks import masked_graph

from tests.factories import case, randn


def mean_mixing(*args, **options) -> torch.Tensor:
    return mixing_masked(*args, **options).mean


def chosen(n: int, count: int, seed: int = 0) -> torch.Tensor:
    keep = torch.zeros(n, dtype=torch.bool)
    keep[torch.randperm(n, generator=torch.Generator().manual_seed(seed))[:count]] = True
    return keep


def union(seed: int, n_a: int, n_b: int, apart: float) -> tuple[torch.Tensor, torch.Tensor]:
    """Points of two sets in one random order, and which are of the second."""
    points = torch.cat([randn(seed, n_a, 3), randn(seed + 100, n_b, 3) + apart])
    order = torch.randperm(n_a + n_b, generator=torch.Generator().manual_seed(seed))
    return points[order], order >= n_a


def slow_mixing(points: torch.Tensor, in_b: torch.Tensor, k: int) -> float:
    """Share of foreign points among the k nearest, of sets of n points each, by sorting all distances."""
    rows, sides = points.tolist(), in_b.tolist()
    foreign = 0
    for i, p in enumerate(rows):
        nearest = sorted((dist(p, q), j) for j, q in enumerate(rows) if j != i)[:k]
        foreign += sum(sides[j] != sides[i] for _, j in nearest)
    n = len(rows) // 2
    return foreign / (2 * n * k) * (2 * n - 1) / n


# --- the graph


def test_the_kept_graph_is_one_built_anew():
    for k, count in product((1, 4, 11), (12, 20, 29, 30)):
        with case(k, count):
            x, keep = randn(1, 30, 4), chosen(30, count)
            found = masked_graph(neighbour_graph(x, 29), keep, k)
            anew = neighbour_graph(x[keep], k)
            assert torch.equal(found.indices, anew.indices)
            torch.testing.assert_close(found.distances, anew.distances, rtol=1e-12, atol=0)


def test_by_a_loop():
    x, keep, k = randn(2, 15, 2), chosen(15, 9), 3
    names = keep.nonzero().flatten().tolist()
    expected = []
    for i in names:
        nearest = sorted((dist(x[i].tolist(), x[j].tolist()), j) for j in names if j != i)[:k]
        expected.append([names.index(j) for _, j in nearest])
    assert masked_graph(neighbour_graph(x, 14), keep, k).indices.tolist() == expected


def test_duplicates_stay_in_the_order_of_their_indices():
    x = torch.cat([torch.zeros(6, 2), torch.ones(6, 2), randn(3, 4, 2).float()])
    keep = chosen(16, 11)
    found, anew = masked_graph(neighbour_graph(x, 15), keep, 5), neighbour_graph(x[keep], 5)
    assert torch.equal(found.indices, anew.indices)
    torch.testing.assert_close(found.distances, anew.distances, rtol=1e-12, atol=0)
    assert (found.distances == 0).any()


def test_a_graph_that_is_just_deep_enough():
    """Of five nearest at least two are kept, everywhere; what lies beyond is not needed."""
    x, keep = randn(4, 40, 2), torch.ones(40, dtype=torch.bool)
    keep[neighbour_graph(x, 3).indices[0]] = False
    graph = neighbour_graph(x, 5)
    depth = int(keep[graph.indices[keep]].sum(1).min())
    assert depth == 2
    assert torch.equal(masked_graph(graph, keep, depth).indices, neighbour_graph(x[keep], depth).indices)
    with pytest.raises(InputError, match="graph: expected 3 neighbours of every point under the mask, received 2"):
        masked_graph(graph, keep, 3)


def test_the_graph_itself_is_left_as_it_is():
    graph = neighbour_graph(randn(5, 20, 3), 19)
    indices, distances = graph.indices.clone(), graph.distances.clone()
    masked_graph(graph, chosen(20, 12), 4).indices.zero_()
    assert torch.equal(graph.indices, indices)
    assert torch.equal(graph.distances, distances)


def test_what_is_read_off_it_is_what_the_kept_points_give():
    x, labels, keep = randn(6, 60, 3), torch.arange(60) % 3, chosen(60, 40)
    x += labels.unsqueeze(1)
    assert purity(masked_graph(neighbour_graph(x, 59), keep, 7), labels[keep], k=7).tolist() == (
        purity(neighbour_graph(x[keep], 7), labels[keep], k=7).tolist()
    )


def test_no_point_is_kept():
    found = masked_graph(neighbour_graph(randn(7, 5, 2), 4), torch.zeros(5, dtype=torch.bool), 2)
    assert found.indices.shape == found.distances.shape == (0, 2)


def test_bad_input_of_the_graph():
    for keep, k, message in (
        (torch.ones(9, dtype=torch.bool), 2, r"mask: expected bool \(10,\), received torch.bool \(9,\)"),
        (torch.ones(10), 2, r"mask: expected bool \(10,\), received torch.float32"),
        (torch.arange(10), 2, "mask: expected bool"),
        (torch.ones(10, dtype=torch.bool), 10, "graph: expected 10 neighbours .* received 9"),
        (torch.ones(10, dtype=torch.bool), 0, "k: expected at least 1, received 0"),
        (torch.ones(10, dtype=torch.bool), -1, "k: expected at least 1, received -1"),
        (chosen(10, 1), 1, "graph: expected 1 neighbours of every point under the mask, received 0"),
    ):
        with case(message), pytest.raises(InputError, match=message):
            masked_graph(neighbour_graph(randn(8, 10, 2), 9), keep, k)


# --- mixing


def test_balanced_subsets_follow_the_loop_and_neighbour_mixing():
    for k, apart in product((1, 5, 10), (0.0, 1.0, 9.0)):
        with case(k, apart):
            points, in_b = union(1, 18, 18, apart)
            keep = torch.ones(3, 36, dtype=torch.bool)
            for row, count in ((1, 3), (2, 7)):  # as many of either set are left out
                for side in (in_b, ~in_b):
                    keep[row, side.nonzero().flatten()[row : row + count]] = False
            found = mean_mixing(neighbour_graph(points, 35), in_b, keep, k=k)
            assert found.dtype == torch.float64
            for value, kept in zip(found.tolist(), keep, strict=True):
                assert value == pytest.approx(slow_mixing(points[kept], in_b[kept], k))
                a, b = points[kept & ~in_b], points[kept & in_b]
                assert value == pytest.approx(float(neighbour_mixing(a, b, k=k)))


def test_balanced_sets_need_no_draws():
    points, in_b = union(2, 20, 20, 0.5)
    graph, keep = neighbour_graph(points, 39), torch.ones(1, 40, dtype=torch.bool)
    values = {float(mean_mixing(graph, in_b, keep, draws=d, seed=s)) for d, s in ((1, 0), (1, 1), (8, 2))}
    assert len(values) == 1


@pytest.mark.parametrize(("n_a", "n_b"), [(20, 45), (45, 20)])
def test_unbalanced_subsets_agree_with_neighbour_mixing_over_many_draws(n_a, n_b):
    points, in_b = union(3, n_a, n_b, 0.8)
    keep = torch.stack([torch.ones(65, dtype=torch.bool), chosen(65, 55)])
    found = mean_mixing(neighbour_graph(points, 64), in_b, keep, k=6, draws=600)
    for value, kept in zip(found.tolist(), keep, strict=True):
        a, b = points[kept & ~in_b], points[kept & in_b]
        assert value == pytest.approx(float(neighbour_mixing(a, b, k=6, draws=600)), abs=0.02)


def test_one_draw_is_of_as_many_points_of_either_set():
    """With one draw there is a balanced subset of which the loop gives the value: the points of the lowest ranks."""
    points, in_b = union(4, 6, 8, 0.5)
    value = float(mean_mixing(neighbour_graph(points, 13), in_b, torch.ones(1, 14, dtype=torch.bool), k=3, draws=1))
    possible = set()
    for out in torch.combinations(in_b.nonzero().flatten(), 2).tolist():
        kept = torch.ones(14, dtype=torch.bool)
        kept[out] = False
        possible.add(round(slow_mixing(points[kept], in_b[kept], 3), 9))
    assert len(possible) > 1
    assert round(value, 9) in possible


def test_planted_ends():
    """Apart: 0; one set: 1 on average; every neighbour foreign: (2n − 1)/n."""
    points, in_b = union(5, 30, 70, 50.0)
    assert mean_mixing(neighbour_graph(points, 99), in_b, torch.ones(1, 100, dtype=torch.bool)).tolist() == [0]
    values = []
    for seed in range(20):
        points, in_b = union(10 + seed, 30, 70, 0.0)
        values += mean_mixing(neighbour_graph(points, 99), in_b, torch.ones(1, 100, dtype=torch.bool)).tolist()
    assert sum(values) / 20 == pytest.approx(1, abs=0.05)
    places = 10.0 * torch.arange(12).double().repeat_interleave(2) + torch.tensor([0.0, 1.0]).repeat(12).double()
    in_b = torch.arange(24) % 2 == 1
    graph = neighbour_graph(places.unsqueeze(1), 23)
    assert float(mean_mixing(graph, in_b, torch.ones(1, 24, dtype=torch.bool), k=1)) == pytest.approx(23 / 12)


def test_the_size_of_a_set_alone_does_not_matter():
    values = []
    for seed in range(12):
        points, in_b = union(50 + seed, 25, 225, 0.0)
        values.append(float(mean_mixing(neighbour_graph(points, 249), in_b, torch.ones(1, 250, dtype=torch.bool))))
    assert sum(values) / 12 == pytest.approx(1, abs=0.06)


def test_which_set_is_which_does_not_matter():
    points, in_b = union(6, 20, 35, 0.6)
    graph, keep = neighbour_graph(points, 54), torch.stack([chosen(55, 50, seed=i) for i in range(4)])
    assert torch.equal(mean_mixing(graph, in_b, keep), mean_mixing(graph, ~in_b, keep))


def test_subsets_do_not_depend_on_each_other_and_the_seed_drives_the_draws():
    points, in_b = union(7, 20, 60, 0.7)
    graph, keep = neighbour_graph(points, 79), torch.stack([chosen(80, 70, seed=i) for i in range(5)])
    together = mean_mixing(graph, in_b, keep, seed=3)
    assert torch.equal(together, torch.cat([mean_mixing(graph, in_b, row.unsqueeze(0), seed=3) for row in keep]))
    assert not torch.equal(together, mean_mixing(graph, in_b, keep, seed=4))
    stream = torch.get_rng_state()
    mean_mixing(graph, in_b, keep, seed=3)
    assert torch.equal(stream, torch.get_rng_state())


def test_a_point_left_out_changes_only_its_surroundings():
    """The same ranks thin out every subset: without one point the value moves about as much as a point weighs."""
    points, in_b = union(8, 40, 160, 0.7)
    keep = ~torch.eye(200, dtype=torch.bool)
    graph = neighbour_graph(points, 199)
    without = mean_mixing(graph, in_b, keep)
    whole = float(mean_mixing(graph, in_b, torch.ones(1, 200, dtype=torch.bool)))
    other = [float(mean_mixing(graph, in_b, torch.ones(1, 200, dtype=torch.bool), seed=s)) for s in range(1, 30)]
    assert float((without - whole).abs().median()) < 0.25 * float(torch.tensor(other).std())


# --- little to say, and bad input


def test_subsets_that_are_too_small_have_no_value():
    points, in_b = union(9, 10, 10, 0.0)
    first, second = (~in_b).nonzero().flatten(), in_b.nonzero().flatten()
    keep = torch.zeros(5, 20, dtype=torch.bool)
    keep[1] = in_b  # one set alone
    keep[2, first] = keep[2, second[:2]] = True  # 2·2 − 1 = 3 others: k must be below
    keep[3, first] = keep[3, second[:3]] = True
    keep[4] = True
    found = mean_mixing(neighbour_graph(points, 19), in_b, keep, k=3)
    assert [isnan(v) for v in found.tolist()] == [True, True, True, False, False]


def test_no_subset():
    points, in_b = union(9, 10, 10, 0.0)
    assert mean_mixing(neighbour_graph(points, 19), in_b, torch.zeros(0, 20, dtype=torch.bool)).shape == (0,)


def test_points_that_all_coincide_are_together_by_the_order_they_are_in():
    """In a random order, as the union of a panel is: 1 on average, neither 0 nor 2."""
    values = []
    for seed in range(40):
        in_b = torch.randperm(60, generator=torch.Generator().manual_seed(seed)) >= 30
        graph = neighbour_graph(torch.zeros(60, 2), 59)
        values.append(float(mean_mixing(graph, in_b, torch.ones(1, 60, dtype=torch.bool))))
    assert sum(values) / 40 == pytest.approx(1, abs=0.1)


def test_a_graph_that_is_too_shallow_is_refused():
    """Cut to the drawn points it would give a mean over fewer neighbours, nearer ones, without a word."""
    points, in_b = union(11, 12, 90, 9.0)
    keep = torch.ones(1, 102, dtype=torch.bool)
    with pytest.raises(InputError, match=r"graph: expected at least 10 drawn neighbours .* among 20: "):
        mean_mixing(neighbour_graph(points, 20), in_b, keep)
    assert mean_mixing(neighbour_graph(points, 101), in_b, keep).tolist() == [0]


def test_bad_input_of_mixing():
    for change, message in (
        ({"in_b": torch.ones(19, dtype=torch.bool)}, r"in_b: expected bool \(20,\), received torch.bool \(19,\)"),
        ({"in_b": torch.zeros(20, dtype=torch.int64)}, r"in_b: expected bool \(20,\), received torch.int64"),
        ({"masks": torch.ones(20, dtype=torch.bool)}, r"masks: expected bool \(B, 20\), received torch.bool \(20,\)"),
        (
            {"masks": torch.ones(2, 21, dtype=torch.bool)},
            r"masks: expected bool \(B, 20\), received torch.bool \(2, 21\)",
        ),
        ({"masks": torch.ones(2, 20)}, r"masks: expected bool \(B, 20\), received torch.float32"),
        ({"k": 0}, "k: expected at least 1, received 0"),
        ({"draws": 0}, "draws: expected at least 1, received 0"),
    ):
        with case(message):
            points, in_b = union(12, 10, 10, 0.0)
            good = {"graph": neighbour_graph(points, 19), "in_b": in_b, "masks": torch.ones(1, 20, dtype=torch.bool)}
            with pytest.raises(InputError, match=message):
                mean_mixing(**(good | change))


def test_graphs_from_elsewhere_are_fine():
    """Only ranks count: distances are not looked at."""
    points, in_b = union(13, 12, 12, 0.5)
    graph = neighbour_graph(points, 23)
    empty = NeighbourGraph(graph.indices, torch.full_like(graph.distances, float("nan")))
    keep = torch.ones(1, 24, dtype=torch.bool)
    assert torch.equal(mean_mixing(graph, in_b, keep), mean_mixing(empty, in_b, keep))


def test_every_form_for_subsets_checks_which_are_kept():
    """A mask of another length, or of numbers, would be broadcast or used as weights."""
    x, y, labels = randn(0, 12, 3), randn(1, 12, 3), torch.arange(12) % 3
    forms = {
        "cka": lambda keep: cka_masked(gram(x), gram(y), keep),
        "rsa": lambda keep: rsa_masked(dissimilarities(x), dissimilarities(y), keep),
        "silhouette": lambda keep: silhouette_masked(pairwise_distances(x), labels == 0, keep),
        "fisher": lambda keep: fisher_ratio_masked(x, labels, keep),
        "uniformity": lambda keep: uniformity_masked(x, keep),
        "displacement": lambda keep: displacement_cosine_masked(x, y, labels, 0, keep),
        "residual": lambda keep: residual_energy_masked(x, y, labels, 0, keep),
        "distance": lambda keep: distance_ratio_masked(*[pairwise_distances(x)] * 2, *[keep] * 3),
        "mixing": lambda keep: mean_mixing(neighbour_graph(x, 11), labels == 0, keep, k=2),
        "neurons": lambda keep: neuron_overlap_masked(x, y, labels, 0, keep),
    }
    for form in forms.values():
        assert form(torch.ones(2, 12, dtype=torch.bool)).shape == (2,)
        for wrong in (torch.ones(2, 11, dtype=torch.bool), torch.ones(12, dtype=torch.bool), torch.ones(2, 12)):
            with pytest.raises(InputError, match=r"masks: expected bool \(B, 12\), received"):
                form(wrong)
