"""Distance ratio and confusion ratio: readings of the backdoor's effect."""

from math import dist, inf, sqrt

import pytest
import torch
from intertwine.representations.errors import InputError
from intertwine.representations.geometry import confusion, confusion_ratio, distance_ratio, distance_ratio_masked

from tests.factories import case, randn


def mean_distance(p: torch.Tensor, q: torch.Tensor) -> float:
    return sum(dist(x, y) for x in p.tolist() for y in q.tolist()) / (len(p) * len(q))


# --- distance ratio


@pytest.mark.parametrize(("n", "m", "s"), [(1, 1, 1), (5, 8, 3), (40, 60, 30)])
def test_distance_ratio_follows_the_loop(n, m, s):
    p, others, targets = randn(1, n, 4), randn(2, m, 4), randn(3, s, 4) + 1
    expected = mean_distance(p, others) / mean_distance(p, targets)
    assert distance_ratio(p, others, targets) == pytest.approx(expected)
    assert distance_ratio(p, targets, others) == pytest.approx(1 / expected)


def test_distance_ratio_rises_as_points_move_to_the_target():
    others, targets = randn(1, 30, 4), randn(2, 30, 4) + 6
    values = [distance_ratio(others + 6 * step, others, targets) for step in (0, 0.5, 1)]
    assert values == sorted(values)
    assert values[0] < 0.5 < 2 < values[2]


@pytest.mark.parametrize("n", [3, 30])
def test_distance_ratio_is_infinite_where_triggered_and_targets_coincide_in_one_point(n):
    """n = 30: above 25 rows torch.cdist takes a shortcut in which a point is not at distance 0 from its copy."""
    for seed in range(5):
        point = randn(seed, 1, 37).repeat(n, 1)
        assert distance_ratio(point, randn(100, n, 37), point) == inf


@pytest.mark.parametrize("n", [10, 60])
def test_distance_ratio_survives_a_mean_that_is_large_against_the_spread(n):
    p, others, targets = randn(1, n, 4), randn(2, n, 4), randn(3, n, 4)
    expected = mean_distance(p, others) / mean_distance(p, targets)
    assert distance_ratio(p + 1e6, others + 1e6, targets + 1e6) == pytest.approx(expected, rel=1e-6)


def test_distance_ratio_of_kept_equals_recomputation_on_the_subset():
    p, others, targets = randn(1, 9, 4), randn(2, 11, 4), randn(3, 7, 4)
    stream = torch.Generator().manual_seed(0)
    keeps = [torch.rand(20, size, generator=stream) < 0.7 for size in (9, 11, 7)]
    values = distance_ratio_masked(torch.cdist(p, others), torch.cdist(p, targets), *keeps)
    assert values.shape == (20,)
    for i, value in enumerate(values.tolist()):
        kp, ko, kt = (keep[i] for keep in keeps)
        assert value == pytest.approx(mean_distance(p[kp], others[ko]) / mean_distance(p[kp], targets[kt]))


def test_distance_ratio_names_what_is_wrong():
    for shapes, message in (
        (((4, 2), (4, 3), (4, 2)), r"received \(4, 2\) and \(4, 3\)"),
        (((4, 2), (4, 2), (4, 3)), r"received \(4, 2\) and \(4, 3\)"),
        (((4, 2), (0, 2), (4, 2)), "received 4 and 0"),
        (((4, 2), (4, 2), (0, 2)), "received 4 and 0"),
    ):
        with case(message), pytest.raises(InputError, match=message):
            distance_ratio(*(torch.zeros(shape) for shape in shapes))


# --- confusion ratio


def test_confusion_ratio_follows_the_loop():
    queries, bank = randn(1, 50, 3), randn(2, 40, 3)
    labels = torch.arange(40) % 4

    def cosine(x: list[float], y: list[float]) -> float:
        dot = sum(u * v for u, v in zip(x, y, strict=True))
        return dot / sqrt(sum(u * u for u in x)) / sqrt(sum(v * v for v in y))

    expected = []
    for q in queries.tolist():
        best = max(range(40), key=lambda j: cosine(q, bank[j].tolist()))
        expected.append(float(best % 4 == 2))
    scores = confusion_ratio(queries, bank, labels, 2)
    assert scores.tolist() == expected
    assert scores.dtype == torch.float64
    assert 0 < sum(expected) < 50


def test_confusion_ratio_of_a_bank_in_several_blocks_is_the_same(monkeypatch):
    queries, bank, labels = randn(1, 50, 3), randn(2, 40, 3), torch.arange(40) % 4
    whole = confusion_ratio(queries, bank, labels, 2)
    for block in (1, 120):
        monkeypatch.setattr(confusion, "BLOCK", block)
        assert torch.equal(confusion_ratio(queries, bank, labels, 2), whole)


@pytest.mark.parametrize(("target", "expected"), [(0, 1.0), (1, 0.0)])
def test_confusion_ratio_ends(target, expected):
    """Queries along the first axis, where the bank holds class 0 only; long bank rows are no nearer for that."""
    bank = torch.tensor([[1.0, 0.1], [1.0, -0.1], [0.1, 90.0], [-0.1, 90.0]])
    scores = confusion_ratio(torch.tensor([[5.0, 0.2]] * 6), bank, torch.tensor([0, 0, 1, 1]), target)
    assert scores.mean() == expected


def test_confusion_ratio_names_what_is_wrong():
    for bank, labels, message in (
        (torch.zeros(4, 3), torch.zeros(4), r"received \(5, 2\) and \(4, 3\)"),
        (torch.zeros(4, 2), torch.zeros(3), r"bank_labels: expected shape \(4,\), received \(3,\)"),
        (torch.zeros(0, 2), torch.zeros(0), "at least one point"),
    ):
        with case(message), pytest.raises(InputError, match=message):
            confusion_ratio(torch.zeros(5, 2), bank, labels, 0)
