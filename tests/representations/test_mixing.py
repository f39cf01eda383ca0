"""Neighbour mixing against a loop, its planted ends, and the ways in which a neighbour count goes wrong."""

from itertools import combinations, product
from math import dist

import pytest
import torch
from intertwine.representations.errors import InputError
from intertwine.representations.geometry import mixing as module
from intertwine.representations.geometry import neighbour_mixing, smaller_side_mixing
from intertwine.representations.graph import neighbour_graph

from tests.factories import case, randn


def foreign_shares(a: list[list[float]], b: list[list[float]], k: int) -> list[float]:
    """For every point of a then b: foreign among its k nearest others, by sorting all distances. No ties allowed."""
    points = [(p, "a") for p in a] + [(p, "b") for p in b]
    shares = []
    for i, (p, side) in enumerate(points):
        others = sorted((dist(p, q), other) for j, (q, other) in enumerate(points) if j != i)
        shares.append(sum(other != side for _, other in others[:k]) / k)
    return shares


def test_equal_sets_follow_the_loop():
    for k, apart in product((1, 3, 10, 22), (0.0, 1.0)):
        with case(k, apart):
            n = 12
            a, b = randn(1, n, 3), randn(2, n, 3) + apart
            shares = foreign_shares(a.tolist(), b.tolist(), k)
            expected = [share * (2 * n - 1) / n for share in shares]
            mixing = neighbour_mixing(a, b, k=k)
            assert mixing.scores_a.tolist() == pytest.approx(expected[:n])
            assert mixing.scores_b.tolist() == pytest.approx(expected[n:])
            assert mixing.value == pytest.approx(sum(expected) / (2 * n))
            assert float(mixing) == mixing.value


def test_unequal_sets_average_over_all_balanced_subsets():
    a, b, k = randn(3, 4, 2), randn(4, 6, 2) + 0.5, 3
    totals, counts = [0.0] * 10, [0] * 10
    for subset in combinations(range(6), 4):
        shares = foreign_shares(a.tolist(), [b[j].tolist() for j in subset], k)
        for point, share in zip([*range(4), *(4 + j for j in subset)], shares, strict=True):
            totals[point] += share * 7 / 4
            counts[point] += 1
    means = [t / c for t, c in zip(totals, counts, strict=True)]
    expected = (sum(means[:4]) / 4 + sum(means[4:]) / 6) / 2
    mixing = neighbour_mixing(a, b, k=k, draws=1500)
    assert mixing.value == pytest.approx(expected, abs=0.03)
    assert torch.cat([mixing.scores_a, mixing.scores_b]).tolist() == pytest.approx(means, abs=0.12)
    # Swapping the sets swaps the roles and nothing else.
    assert neighbour_mixing(b, a, k=k, draws=1500).value == pytest.approx(expected, abs=0.03)


@pytest.mark.parametrize(("n_a", "n_b"), [(40, 50), (60, 25), (15, 140)])
@pytest.mark.parametrize("depth", ["none", "deep", "too shallow"])
def test_one_graph_of_the_union_gives_what_a_graph_of_each_draw_gives(n_a, n_b, depth, monkeypatch):
    """Where the union's graph is not deep enough, the drawn points are searched: nothing is lost."""
    a, b = randn(1, n_a, 3), randn(2, n_b, 3) + 0.5
    a[3:7], b[3:9] = a[0], a[0]  # ties among them
    usual = neighbour_mixing(a, b, k=6, seed=3)
    graphs = {"none": lambda points: None, "deep": lambda p: neighbour_graph(p, len(p) - 1)}
    graphs["too shallow"] = lambda points: neighbour_graph(points, 7)
    monkeypatch.setattr(module, "_graph_of_union", lambda points, k, n, draws: graphs[depth](points))
    other = neighbour_mixing(a, b, k=6, seed=3)
    assert other.value == usual.value
    assert torch.equal(other.scores_a.nan_to_num(-1), usual.scores_a.nan_to_num(-1))
    assert torch.equal(other.scores_b.nan_to_num(-1), usual.scores_b.nan_to_num(-1))


def test_a_larger_set_does_not_look_foreign_by_its_size_alone():
    """Unbalanced, the 40 of a would have 90 % foreign neighbours and the 360 of b 10 %."""
    values = [neighbour_mixing(randn(5 + i, 40, 4), randn(50 + i, 360, 4)) for i in range(6)]
    assert sum(v.value for v in values) / 6 == pytest.approx(1, abs=0.05)
    for mixing in values:
        assert float(mixing.scores_a.nanmean()) == pytest.approx(1, abs=0.25)
        assert float(mixing.scores_b.nanmean()) == pytest.approx(1, abs=0.25)


@pytest.mark.parametrize("n", [12, 40, 300])
def test_one_distribution_gives_one_on_average(n):
    """The factor (2n−1)/n is what makes it 1 at every n: without it, n = 12 would give 12/23 · 1 = .52."""
    values = [neighbour_mixing(randn(i, n, 5), randn(900 + i, n, 5), k=10).value for i in range(200 // n + 5)]
    assert sum(values) / len(values) == pytest.approx(1, abs=0.06)


@pytest.mark.parametrize("measure", [neighbour_mixing, smaller_side_mixing])
def test_the_value_does_not_depend_on_the_number_of_points(measure):
    """Thin layers of one set and the other by turns overlap at a large scale and not at a small one. Ten neighbours
    of few points reach the next layer: 1.1 from 40 points a set and .15 from 400; by default .57 and .41."""

    def layered(seed: int, n: int, first: float) -> torch.Tensor:
        x = randn(seed, n, 4)
        x[:, 0] = torch.randint(12, (n,), generator=torch.Generator().manual_seed(seed)) * 2 + first + 0.1 * x[:, 0]
        return x * torch.tensor([0.6, 0.3, 0.3, 0.3], dtype=torch.float64)

    def mean(n: int, k: int | None) -> float:
        return sum(float(measure(layered(i, n, 0.0), layered(900 + i, n, 1.0), k=k)) for i in range(8)) / 8

    for k, least, most in ((None, 0.0, 0.2), (10, 0.9, 2.0)):
        few, many = mean(40, k), mean(400, k)
        assert least < few - many < most, k


@pytest.mark.parametrize("sizes", [(12, 12), (15, 60)])
def test_far_apart_gives_zero(sizes):
    mixing = neighbour_mixing(randn(1, sizes[0], 3), randn(2, sizes[1], 3) + 100, k=10)
    assert mixing.value == 0


def test_the_largest_value_is_that_of_interleaved_twins():
    """Each point's nearest other is its twin in the other set: share 1, so (2n−1)/n."""
    a = 10.0 * torch.arange(8, dtype=torch.float64).unsqueeze(1)
    assert neighbour_mixing(a, a + 0.1, k=1).value == pytest.approx(15 / 8)


def test_defect_column_0_dropped_as_self_is_wrong_with_duplicates():
    """Twins at distance zero: what sorts first may be the twin, and the point itself must never be its neighbour."""
    a = 10.0 * torch.arange(8, dtype=torch.float64).unsqueeze(1)
    for seed in range(5):
        mixing = neighbour_mixing(a, a.clone(), k=1, seed=seed)
        assert mixing.value == pytest.approx(15 / 8)
        assert mixing.scores_a.tolist() == pytest.approx([15 / 8] * 8)


def test_duplicates_are_neither_preferred_nor_avoided():
    """All 2n points coincide: one distribution, so 1 on average, whatever the order in which the sets are given."""
    point = torch.ones(9, 2)
    values = [neighbour_mixing(point, point, k=3, seed=seed).value for seed in range(400)]
    assert sum(values) / 400 == pytest.approx(1, abs=0.01)
    sides = [neighbour_mixing(point, point, k=3, seed=seed).scores_a.mean().item() for seed in range(400)]
    assert sum(sides) / 400 == pytest.approx(1, abs=0.06)


def test_the_seed_decides_the_draws_and_nothing_else_does():
    a, b = randn(1, 20, 3), randn(2, 70, 3)
    first = neighbour_mixing(a, b, seed=3)
    torch.manual_seed(99)
    torch.rand(5)
    second = neighbour_mixing(a, b, seed=3)
    assert first.value == second.value
    assert torch.equal(first.scores_b.nan_to_num(-1), second.scores_b.nan_to_num(-1))
    assert neighbour_mixing(a, b, seed=4).value != first.value


def test_it_leaves_the_global_random_stream_alone():
    torch.manual_seed(5)
    before = torch.get_rng_state()
    neighbour_mixing(randn(1, 20, 3), randn(2, 70, 3))
    assert torch.equal(before, torch.get_rng_state())


def test_scores_are_one_a_point_and_nan_where_never_drawn():
    for n_a, n_b in ((12, 50), (50, 12)):
        with case(n_a, n_b):
            mixing = neighbour_mixing(randn(1, n_a, 3), randn(2, n_b, 3), draws=1)
            assert (len(mixing.scores_a), len(mixing.scores_b)) == (n_a, n_b)
            assert int(mixing.scores_a.isnan().sum()) == n_a - 12
            assert int(mixing.scores_b.isnan().sum()) == n_b - 12
            assert mixing.value == pytest.approx(float(mixing.scores_a.nanmean() + mixing.scores_b.nanmean()) / 2)


def test_float32_features_are_compared_in_float64():
    """At mean/sd = 1e4 the float32 shortcut ‖x‖² + ‖y‖² − 2xy has no digits left."""
    a, b = randn(1, 40, 3).float() + 1e4, randn(2, 40, 3).float() + 1e4
    shares = foreign_shares(a.double().tolist(), b.double().tolist(), 10)
    assert neighbour_mixing(a, b, k=10).value == pytest.approx(sum(shares) / 80 * 79 / 40)


def test_k_out_of_range_names_the_sizes():
    for k in (-1, 0, 19, 40):
        with case(k), pytest.raises(InputError, match=f"k: expected 1 to 18 .* 10 and 30 points, received {k}"):
            neighbour_mixing(torch.zeros(10, 2), torch.zeros(30, 2), k=k)


def test_bad_shapes():
    for a, b, message in (
        (torch.zeros(5, 2), torch.zeros(5, 3), r"received \(5, 2\) and \(5, 3\)"),
        (torch.zeros(5), torch.zeros(5), r"received \(5,\) and \(5,\)"),
        (torch.zeros(0, 2), torch.zeros(5, 2), "at least one point in each, received 0 and 5"),
    ):
        with case(message), pytest.raises(InputError, match=message):
            neighbour_mixing(a, b, k=1)


def test_nan_is_an_error():
    for value in (float("nan"), float("inf")):
        with case(value):
            bad = torch.full((5, 2), value)
            with pytest.raises(InputError, match="a, b: expected finite features"):
                neighbour_mixing(bad, torch.zeros(5, 2), k=1)


def test_no_draws_is_an_error_and_not_a_silent_nan():
    with pytest.raises(InputError, match="draws"):
        neighbour_mixing(torch.zeros(10, 2), torch.zeros(30, 2), draws=0)
