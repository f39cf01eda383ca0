"""The alignment of one task with itself: near one, and its interval holds one more draw."""

from math import isnan, nan, sqrt

import pytest
import torch
from intertwine.probes import (
    align,
)
from intertwine.probes.alignment import same_task
from intertwine.probes.planted import planted_gradients
from intertwine.representations.seeds import generator

from tests.factories import case
from tests.probes.planted_pairs import gram, planted


@pytest.mark.parametrize("cosine", [0.6, 0.0, -0.3])
def test_same_task_is_near_one_whatever_the_two_tasks_are(cosine):
    """In every block a coin decides which gradient is the benign one: both sides then have one mean."""
    grams = [gram(*planted(seed, cosine, blocks=24, noise=0.5)) for seed in range(3)]
    values = [same_task(matrix, draws=100, seed=seed) for seed, matrix in enumerate(grams)]
    assert [v.status for v in values] == ["ok"] * 3
    for end in values:
        assert end.value == pytest.approx(1, abs=0.06)  # up to the coins
        assert end.interval[0] < 1 < end.interval[1]
        assert 0.01 < end.interval[1] - end.interval[0] < 2


def slow_same_task(matrix: torch.Tensor, draws: int, seed: int) -> tuple[float, list[float]]:
    """Tasks of one length; coins as they are drawn, then sums over i ≠ j and over draws *before* dividing, nothing left
    out or cut off."""
    blocks = len(matrix) // 2
    lengths = [sqrt(sum(float(matrix[i, i]) for i in part)) for part in (range(blocks), range(blocks, 2 * blocks))]
    unit = torch.tensor([1 / lengths[i // blocks] for i in range(2 * blocks)], dtype=torch.float64)
    matrix = matrix * unit[:, None] * unit
    cross = own_a = own_b = 0.0
    values = []
    for draw in range(draws):
        coins = (torch.rand(blocks, generator=generator(seed, "same-task", draw)) < 0.5).tolist()
        a = [i + blocks if coin else i for i, coin in enumerate(coins)]
        b = [i if coin else i + blocks for i, coin in enumerate(coins)]
        index_a, index_b = torch.tensor(a), torch.tensor(b)

        def off_diagonal(rows, columns):
            part = matrix[rows][:, columns]
            return float(part.sum() - part.diagonal().sum())

        terms = off_diagonal(index_a, index_b), off_diagonal(index_a, index_a), off_diagonal(index_b, index_b)
        cross, own_a, own_b = cross + terms[0], own_a + terms[1], own_b + terms[2]
        values.append(terms[0] / sqrt(terms[1] * terms[2]) if min(terms[1:]) > 0 else nan)
    return cross / sqrt(own_a * own_b), values


def test_same_task_sums_over_draws_before_it_divides():
    """At a noise of 7 some draws have a negative self-term: they must stay in the sums, or the value is biased."""
    for noise in (0.5, 2.0, 7.0):
        with case(noise):
            matrix = gram(*planted(0, 0.5, blocks=24, noise=noise))
            expected, values = slow_same_task(matrix, 200, 3)
            assert any(isnan(v) for v in values) == (noise > 5)
            assert same_task(matrix, draws=200, seed=3).value == pytest.approx(expected, abs=1e-6)


@pytest.mark.parametrize("factor", [1e-24, 1e-12, 1e12, 1e24])
def test_the_length_of_the_gradients_changes_nothing_in_same_task(factor):
    """Its sums are float64 like everything else: squares of small gradients must not underflow."""
    g, h = planted(0, 0.5, blocks=24, noise=1.0)
    before, after = (same_task(gram(f * g, f * h), draws=20) for f in (1.0, factor))
    assert after.value == pytest.approx(before.value, rel=1e-6)
    assert after.interval == pytest.approx(before.interval, rel=1e-6)


@pytest.mark.parametrize("factor", [1.0, 5.0])
@pytest.mark.parametrize("noise", [1.0, 3.0])
def test_the_interval_of_same_task_holds_the_alignment_of_one_task(noise, factor):
    """If both losses are one task, what was measured is one more draw of the coins: inside 19 times of 20, also where
    one gradient is longer."""
    inside = 0
    scale = torch.tensor([1.0] * 24 + [factor] * 24, dtype=torch.float64)
    for matrix in planted_gradients(1.0, noise=noise, draws=200, seed=1):
        matrix = matrix * scale * scale[:, None]
        low, high = same_task(matrix, draws=100).interval
        inside += low <= align(matrix).value <= high
    assert 0.90 <= inside / 200 <= 0.985


def test_two_tasks_are_outside_the_interval_of_one_task():
    for matrix in planted_gradients(0.3, noise=1.0, draws=20):
        assert align(matrix).value < same_task(matrix, draws=100).interval[0]


def test_the_interval_of_same_task_holds_the_middle_of_the_draws():
    matrix = gram(*planted(0, 0.5, blocks=24, noise=1.0))
    _, values = slow_same_task(matrix, 100, 3)
    end = same_task(matrix, draws=100, seed=3)
    assert sum(end.interval[0] <= v <= end.interval[1] for v in values) in (
        96,
        97,
    )  # of which one more draw is as likely outside
    narrow = same_task(matrix, draws=100, level=0.5, seed=3).interval
    assert sum(narrow[0] <= v <= narrow[1] for v in values) in (49, 50, 51)


def test_same_task_is_seeded():
    matrix = gram(*planted(0, 0.5, blocks=24, noise=1.0))
    assert same_task(matrix, draws=5, seed=1).value == same_task(matrix, draws=5, seed=1).value
    assert same_task(matrix, draws=5, seed=1).value != same_task(matrix, draws=5, seed=2).value


def test_same_task_of_opposite_tasks_is_not_estimable():
    """g and −g have no common mean to estimate."""
    g, _ = planted(0, 0.5, blocks=24, noise=0.0)
    assert same_task(torch.zeros(16, 16, dtype=torch.float64)).status == "not_estimable"
    assert same_task(gram(g, -g)).status == "not_estimable"
