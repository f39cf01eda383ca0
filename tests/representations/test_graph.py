"""Exact distances and the exact neighbour graph against loops, on data that make shortcuts wrong."""

from collections.abc import Iterator
from functools import cache
from math import dist, inf

import pytest
import torch
from intertwine.representations import graph as module
from intertwine.representations.errors import InputError
from intertwine.representations.graph import NeighbourGraph, neighbour_graph, pairwise_distances
from torch import Tensor

from tests.factories import case, randn


def some(seed: int, high: int, *shape: int) -> Tensor:
    return torch.randint(high, shape, generator=torch.Generator().manual_seed(seed))


def by_loop(x: Tensor, k: int, bank: Tensor | None = None) -> tuple[list[list[int]], list[list[float]]]:
    """Sorting all distances by value and then by index, the point itself left out by its index."""
    points, others = x.double().tolist(), (x if bank is None else bank).double().tolist()
    rows = []
    for i, p in enumerate(points):
        rows.append(sorted((dist(p, q), j) for j, q in enumerate(others) if bank is not None or j != i)[:k])
    return [[j for _, j in row] for row in rows], [[r for r, _ in row] for row in rows]


def by_differences(x: Tensor, k: int) -> tuple[Tensor, Tensor]:
    """The same for sizes at which a loop is slow."""
    distances = torch.stack([(row - x).square().sum(1).sqrt() for row in x]).fill_diagonal_(inf)
    values, order = distances.sort(dim=1, stable=True)
    return order[:, :k], values[:, :k]


def assert_equal(graph: NeighbourGraph, indices: object, distances: object) -> None:
    assert graph.indices.dtype == torch.int64
    assert graph.distances.dtype == torch.float64
    assert graph.indices.tolist() == torch.as_tensor(indices).tolist()
    expected = torch.as_tensor(distances, dtype=torch.float64)
    # Relative error alone: what is 0 must be 0.
    torch.testing.assert_close(graph.distances, expected, rtol=1e-10, atol=0)


@pytest.fixture
def always_single(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """Candidates by float32 products, as for many points, and in several blocks."""
    monkeypatch.setattr(module, "SMALL", 10)
    monkeypatch.setattr(module, "BLOCK", 2**19)
    return


CASES = {
    "plain": randn(0, 90, 5),
    "one dimension": randn(0, 90, 1),
    "more dimensions than points": randn(0, 30, 70),
    "mean/sd = 1e4": randn(0, 90, 5) + 1e4,
    "ties on a grid": some(0, 4, 90, 3).double(),
    "equally spaced": torch.arange(60.0).unsqueeze(1),
    "all equally far": torch.eye(25),
    "duplicates": randn(0, 90, 5)[some(1, 20, 90)],
    "constant": torch.full((25, 3), 0.1),
    "clusters a billion times narrower than their distance": randn(1, 5, 4)[torch.arange(60) % 5]
    + 1e-9 * randn(0, 60, 4),
    "an outlier": torch.cat([randn(0, 60, 4), torch.full((1, 4), 1e6, dtype=torch.float64)]),
    "zeros and signed zeros": torch.tensor([[0.0, -0.0], [-0.0, 0.0], [0.0, 0.0], [1.0, 0.0]]),
}


def test_follows_the_loop():
    for name in CASES:
        with case(name):
            x = CASES[name]
            for k in sorted({1, 2, len(x) // 3, len(x) - 1}):
                assert_equal(neighbour_graph(x, k), *by_loop(x, k))


def test_a_bank_follows_the_loop():
    for name in CASES:
        with case(name):
            x = CASES[name]
            queries = torch.cat([x[1:9], randn(5, 4, x.shape[1])])  # some of the bank, some not
            for k in sorted({1, len(x) // 3, len(x)}):
                assert_equal(neighbour_graph(queries, k, bank=x), *by_loop(queries, k, x))


LARGE = {
    "plain": (randn(0, 1500, 6), 0),
    "mean/sd = 1e6": (randn(0, 1500, 6) + 1e6, 0),
    "very small": (1e-200 * randn(0, 1500, 6), 0),
    "very large": (1e150 * randn(0, 1500, 6), 0),
    "few duplicates": (randn(0, 1500, 6)[some(1, 1400, 1500)], 0),
    "many duplicates": (torch.cat([randn(0, 1200, 6), torch.zeros(300, 6)]), 0),
    "constant": (torch.full((1500, 6), 0.1), 0),
    "ties on a grid": (some(0, 6, 1500, 3).double(), 1000),
    "narrow clusters": (randn(1, 50, 4)[torch.arange(1500) % 50] + 1e-6 * randn(0, 1500, 4), 5_000),
}


@cache
def expected_of(name: str) -> tuple[Tensor, Tensor, float]:
    """13 neighbours, and the factor that was taken out first where the reference could not square the numbers."""
    x, _ = LARGE[name]
    factor = float(x.abs().max()) if name.startswith("very") else 1.0
    return *by_differences(x / factor, 13), factor


@pytest.mark.parametrize("k", [1, 13])
@pytest.mark.parametrize("name", LARGE)
@pytest.mark.usefixtures("always_single")
def test_float32_candidates_lose_no_neighbour(name, k, monkeypatch):
    """And where float32 cannot tell, pairs are compared one by one, as the count of such pairs shows."""
    x, told_apart = LARGE[name]
    pairs = []
    of_pairs = module._of_pairs
    monkeypatch.setattr(module, "_of_pairs", lambda x, y, i, j: pairs.append(len(i)) or of_pairs(x, y, i, j))
    graph = neighbour_graph(x, k)
    indices, distances, factor = expected_of(name)
    assert_equal(NeighbourGraph(graph.indices, graph.distances / factor), indices[:, :k], distances[:, :k])
    assert sum(pairs) >= told_apart


@pytest.mark.parametrize("name", ["narrow clusters", "mean/sd = 1e6"])
def test_float32_alone_would_lose_neighbours(name):
    """So that the test above can fail: nearly all rows would be wrong."""
    x, _ = LARGE[name]
    x = x.float()
    squares = x.square().sum(1)
    naive = (squares - 2 * x @ x.T).fill_diagonal_(inf).topk(13, largest=False).indices
    wrong = (naive.sort(dim=1).values != by_differences(x.double(), 13)[0].sort(dim=1).values).any(1)
    assert wrong.float().mean() > 0.9


def test_defect_column_0_dropped_as_self_is_wrong_with_duplicates():
    """Five copies of each point: the nearest others are the four other copies, and never the point itself."""
    x = randn(0, 12, 3).repeat(5, 1)
    graph = neighbour_graph(x, 4)
    for i, row in enumerate(graph.indices.tolist()):
        assert row == [j for j in range(i % 12, 60, 12) if j != i]
    assert (graph.distances == 0).all()


def test_more_copies_than_neighbours():
    graph = neighbour_graph(torch.zeros(6, 2), 2)
    assert graph.indices.tolist() == [[1, 2], [0, 2], [0, 1], [0, 1], [0, 1], [0, 1]]
    assert (graph.distances == 0).all()


@pytest.mark.parametrize("name", ["plain", "duplicates", "ties on a grid"])
def test_the_graph_of_part_of_the_points_among_all(name):
    """``own`` says which point of the bank a query is."""
    x = CASES[name]
    part = torch.tensor([3, 3, 50, 7])
    assert torch.equal(neighbour_graph(x[part], 9, bank=x, own=part).indices, neighbour_graph(x, 9).indices[part])


@pytest.mark.parametrize("shift", [0.0, 1e3])
def test_a_shallower_graph_is_the_beginning_of_a_deeper_one(shift):
    x = randn(0, 200, 4) + shift
    deep = neighbour_graph(x, 150)
    for k in (1, 20, 100):
        assert torch.equal(neighbour_graph(x, k).indices, deep.indices[:, :k])


def test_invariances():
    x = randn(0, 120, 6)
    rotation = torch.linalg.qr(randn(1, 6, 6)).Q
    graph = neighbour_graph(x, 10)
    for moved, scale in ((x @ rotation, 1), (x + 100 * randn(2, 1, 6), 1), (1e-12 * x, 1e-12), (-3 * x, 3)):
        other = neighbour_graph(moved, 10)
        assert torch.equal(other.indices, graph.indices)
        torch.testing.assert_close(other.distances, scale * graph.distances, rtol=1e-9, atol=0)


def test_cosine_ranks_by_angle():
    x = randn(0, 80, 5) * torch.logspace(-12, 12, 80, dtype=torch.float64).unsqueeze(1)
    unit = x / x.norm(dim=1, keepdim=True)
    similarity = (unit @ unit.T).fill_diagonal_(-inf)
    values, order = similarity.sort(dim=1, descending=True)
    graph = neighbour_graph(x, 7, metric="cosine")
    assert torch.equal(graph.indices, order[:, :7])
    torch.testing.assert_close(graph.distances, (2 - 2 * values[:, :7]).sqrt(), rtol=1e-8, atol=0)


def test_rows_of_zeros_have_a_direction_of_their_own():
    x = torch.tensor([[1.0, 0.0], [0.0, 0.0], [2.0, 0.0], [0.0, 0.0], [-1.0, 0.0]])
    graph = neighbour_graph(x, 4, metric="cosine")
    assert graph.indices.tolist() == [[2, 1, 3, 4], [3, 0, 2, 4], [0, 1, 3, 4], [1, 0, 2, 4], [1, 3, 0, 2]]
    assert graph.distances[0].tolist() == pytest.approx([0, 2**0.5, 2**0.5, 2])
    assert graph.distances[1].tolist() == pytest.approx([0, 2**0.5, 2**0.5, 2**0.5])


@pytest.mark.usefixtures("always_single")
def test_a_lower_precision_of_float32_products_is_not_used():
    before = torch.get_float32_matmul_precision()
    x, _ = LARGE["plain"]
    used = []
    bounds = module._Bounds.smallest
    try:
        torch.set_float32_matmul_precision("medium")
        with pytest.MonkeyPatch.context() as patch:
            patch.setattr(module._Bounds, "smallest", lambda self, *a: used.append(self.b.dtype) or bounds(self, *a))
            graph = neighbour_graph(x, 5)
    finally:
        torch.set_float32_matmul_precision(before)
    assert set(used) == {torch.float64}
    assert_equal(graph, *by_differences(x, 5))


def test_the_points_are_left_as_they_are():
    x = randn(0, 50, 3)
    before = x.clone()
    neighbour_graph(x, 3)
    neighbour_graph(x, 3, metric="cosine")
    pairwise_distances(x)
    assert torch.equal(x, before)


# --- distances


def test_distances_follow_the_loop():
    for name in CASES:
        with case(name):
            x = CASES[name]
            y = torch.cat([x[:7], randn(9, 3, x.shape[1])])
            for other, found in ((x, pairwise_distances(x)), (y, pairwise_distances(x, y))):
                expected = [[dist(p, q) for q in other.double().tolist()] for p in x.double().tolist()]
                torch.testing.assert_close(found, torch.tensor(expected, dtype=torch.float64), rtol=1e-9, atol=0)


@pytest.mark.parametrize("factor", [1e-300, 1e-160, 1e160, 1e300])
def test_distances_of_very_small_and_very_large_numbers(factor):
    x = randn(0, 40, 3)
    torch.testing.assert_close(pairwise_distances(factor * x) / factor, pairwise_distances(x), rtol=1e-9, atol=0)
    graph = neighbour_graph(factor * x, 5)
    assert torch.equal(graph.indices, neighbour_graph(x, 5).indices)
    torch.testing.assert_close(graph.distances / factor, neighbour_graph(x, 5).distances, rtol=1e-9, atol=0)


def test_copies_are_at_distance_zero_and_others_are_not():
    x = torch.cat([randn(0, 40, 64), randn(0, 40, 64), randn(0, 40, 64) * (1 + 1e-12)]) + 1e3
    zero = pairwise_distances(x) == 0
    same = (x.unsqueeze(1) == x).all(2)
    assert torch.equal(zero, same)


def test_one_point():
    assert pairwise_distances(torch.ones(1, 3)).tolist() == [[0.0]]
    assert neighbour_graph(torch.zeros(1, 1), 1, bank=torch.tensor([[2.0], [-1.0]])).indices.tolist() == [[1]]


# --- what is not accepted


def test_k_out_of_range():
    for n, k in ((1, 1), (5, 5), (5, 0), (5, -1), (5, 9)):
        with case(n, k):
            with pytest.raises(InputError, match=f"k: expected 1 to {n - 1} neighbours of {n} points, received {k}"):
                neighbour_graph(torch.zeros(n, 2), k)
            if not 1 <= k <= n:
                with pytest.raises(InputError, match=f"k: expected 1 to {n} neighbours"):
                    neighbour_graph(torch.zeros(3, 2), k, bank=torch.zeros(n, 2))


def test_nan_and_infinity():
    for value in (float("nan"), inf):
        with case(value):
            x, bad = torch.zeros(5, 2), torch.full((5, 2), value)
            for pair in ((bad,), (x, bad)):
                with pytest.raises(InputError, match="expected finite features"):
                    pairwise_distances(*pair)
            for options in ({"x": bad}, {"x": x, "bank": bad}):
                with pytest.raises(InputError, match="expected finite features"):
                    neighbour_graph(k=1, **options)


def test_bad_shapes_and_names():
    x = torch.zeros(5, 2)
    with pytest.raises(InputError, match=r"x: expected \(n, d\), received \(5,\)"):
        neighbour_graph(torch.zeros(5), 1)
    with pytest.raises(InputError, match="at least 1 rows, received 0"):
        neighbour_graph(torch.zeros(0, 2), 1)
    with pytest.raises(InputError, match=r"x, bank: .* received \(5, 2\) and \(5, 3\)"):
        neighbour_graph(x, 1, bank=torch.zeros(5, 3))
    with pytest.raises(InputError, match=r"x, y: .* received \(5, 2\) and \(5, 3\)"):
        pairwise_distances(x, torch.zeros(5, 3))
    with pytest.raises(InputError, match="metric: expected 'euclidean' or 'cosine', received 'manhattan'"):
        neighbour_graph(x, 1, metric="manhattan")
    for own in (torch.tensor([0]), torch.tensor([0, 1, 2, 3, 7])):
        with pytest.raises(InputError, match=r"own: expected \(5,\) rows of the bank of 6"):
            neighbour_graph(x, 1, bank=torch.zeros(6, 2), own=own)
