"""Energy coefficient against a loop, its ends, and what it follows."""

from itertools import product
from math import dist, isnan

import pytest
import torch
from intertwine.representations.errors import InputError
from intertwine.representations.geometry import energy_coefficient, energy_coefficient_masked
from intertwine.representations.graph import pairwise_distances

from tests.factories import case, randn


def by_loop(a: list[list[float]], b: list[list[float]]) -> float:
    def within(x: list[list[float]]) -> float:
        pairs = [dist(p, q) for i, p in enumerate(x) for j, q in enumerate(x) if i != j]
        return sum(pairs) / len(pairs)

    between = sum(dist(p, q) for p in a for q in b) / (len(a) * len(b))
    return (2 * between - within(a) - within(b)) / (2 * between)


def test_follows_the_loop():
    for (n, m), apart in product(((2, 2), (7, 7), (3, 19), (40, 4)), (0.0, 1.5)):
        with case(n, m, apart):
            a, b = randn(n, n, 3), randn(100 + m, m, 3) + apart
            assert energy_coefficient(a, b) == pytest.approx(by_loop(a.tolist(), b.tolist()))
            assert energy_coefficient(b, a) == pytest.approx(energy_coefficient(a, b))


@pytest.mark.parametrize("n", [3, 10, 50])
def test_one_distribution_gives_zero_on_average_at_every_n(n):
    """With the pairs i = j, n = 3 would give .3 on average."""
    values = torch.tensor([energy_coefficient(randn(i, n, 6), randn(900 + i, 2 * n, 6)) for i in range(200)])
    assert abs(values.mean()) < 3 * values.std() / 200**0.5
    assert abs(values.mean()) < 0.01


def test_ends():
    assert energy_coefficient(randn(1, 30, 2), randn(2, 30, 2) + 1e4) == pytest.approx(1, abs=1e-3)
    assert energy_coefficient(torch.zeros(5, 2), torch.ones(5, 2)) == 1
    assert energy_coefficient(torch.tensor([[0.0], [1.0]]), torch.tensor([[0.0], [1.0]])) == -1


def test_a_compact_set_inside_a_wide_one_is_not_the_same():
    assert energy_coefficient(0.1 * randn(1, 100, 20), randn(2, 100, 20)) > 0.2


def test_it_falls_with_the_square_of_what_is_not_shared():
    """Of P a share m is drawn from C: the numerator is (1 − m)² times that of m = 0."""
    target, own = randn(1, 1000, 8), randn(2, 1000, 8) + 2
    values = []
    for m in (0.0, 0.5):
        mixed = torch.cat([randn(3, int(1000 * m), 8), own[: 1000 - int(1000 * m)]])
        values.append(energy_coefficient(mixed, target) * 2 * float(pairwise_distances(mixed, target).mean()))
    assert values[1] / values[0] == pytest.approx(0.25, abs=0.03)


def test_subsets_equal_recomputation():
    a, b = randn(1, 14, 3), randn(2, 9, 3) + 0.7
    points, in_a = torch.cat([a, b]), torch.arange(23) < 14
    masks = torch.rand(30, 23, generator=torch.Generator().manual_seed(0)) < 0.6
    values = energy_coefficient_masked(pairwise_distances(points), in_a, masks)
    assert values.shape == (30,)
    for row, value in zip(masks, values.tolist(), strict=True):
        assert value == pytest.approx(by_loop(points[row & in_a].tolist(), points[row & ~in_a].tolist()))


def test_subsets_of_fewer_than_two_points_of_a_set_have_no_value():
    masks = torch.zeros(3, 10, dtype=torch.bool)
    masks[0, [0, 5, 6]] = True
    masks[1, [0, 1, 5]] = True
    points = randn(1, 10, 2)
    assert energy_coefficient_masked(pairwise_distances(points), torch.arange(10) < 5, masks).isnan().all()


def test_points_that_all_coincide_have_no_value():
    assert isnan(energy_coefficient(torch.ones(4, 3), torch.ones(4, 3)))


def test_bad_input_is_named():
    for a, b, message in (
        (torch.zeros(1, 2), torch.zeros(5, 2), "at least 2 points in each, received 1 and 5"),
        (torch.zeros(5, 2), torch.zeros(5, 3), r"received \(5, 2\) and \(5, 3\)"),
        (torch.zeros(5, 2), torch.full((5, 2), torch.nan), "expected finite features"),
    ):
        with case(message), pytest.raises(InputError, match=message):
            energy_coefficient(a, b)
    with pytest.raises(InputError, match="masks"):
        energy_coefficient_masked(torch.zeros(4, 4), torch.arange(4) < 2, torch.ones(1, 5, dtype=torch.bool))
