"""Purity against a loop and at its ends."""

from math import dist

import pytest
import torch
from intertwine.representations.errors import InputError
from intertwine.representations.geometry.purity import purity
from intertwine.representations.graph import neighbour_graph

from tests.factories import randn


@pytest.mark.parametrize("k", [1, 4, 12])
def test_follows_the_loop(k):
    labels = torch.tensor([3, 3, 8, 0] * 15)
    x = randn(0, 60, 4) + labels.unsqueeze(1) / 4
    expected = []
    for i, p in enumerate(x.tolist()):
        nearest = sorted((dist(p, q), j) for j, q in enumerate(x.tolist()) if j != i)[:k]
        expected.append(sum(int(labels[j] == labels[i]) for _, j in nearest) / k)
    scores = purity(neighbour_graph(x, 12), labels, k=k)  # a deeper graph serves a smaller k
    assert scores.dtype == torch.float64
    assert scores.tolist() == pytest.approx(expected)
    assert 0.2 < sum(expected) / 60 < 0.9


def test_ends():
    labels = torch.arange(60) % 3
    apart = randn(0, 60, 2) + 100 * labels.unsqueeze(1)
    assert purity(neighbour_graph(apart, 10), labels).tolist() == [1] * 60
    # Twenty triples, one of each class: the two nearest are always of other classes.
    triples = 0.01 * randn(0, 60, 2) + 10 * (torch.arange(60) // 3).unsqueeze(1)
    assert purity(neighbour_graph(triples, 2), labels, k=2).tolist() == [0] * 60


def test_one_class_only_is_pure():
    assert purity(neighbour_graph(randn(0, 12, 2), 3), torch.full((12,), 7), k=3).tolist() == [1] * 12


def test_labels_without_meaning_give_the_share_of_pairs_of_one_class():
    labels = torch.tensor([0] * 60 + [1] * 30 + [2] * 10)
    chance = (60 * 59 + 30 * 29 + 10 * 9) / (100 * 99)
    values = [float(purity(neighbour_graph(randn(i, 100, 3), 10), labels).mean()) for i in range(60)]
    assert sum(values) / 60 == pytest.approx(chance, abs=0.01)


def test_copies_count_like_other_neighbours():
    """Each point has one copy, of the other class."""
    x = randn(0, 20, 3).repeat(2, 1)
    assert purity(neighbour_graph(x, 1), torch.arange(40) // 20, k=1).tolist() == [0] * 40


def test_what_is_not_accepted():
    graph = neighbour_graph(randn(0, 9, 2), 3)
    for k in (0, 4):
        with pytest.raises(InputError, match=rf"k: expected 1 to 3 \(the graph's depth\), received {k}"):
            purity(graph, torch.zeros(9, dtype=torch.int64), k=k)
    with pytest.raises(InputError, match=r"labels: expected int64 \(9,\), received torch.int64 \(8,\)"):
        purity(graph, torch.zeros(8, dtype=torch.int64), k=1)
    with pytest.raises(InputError, match="labels: expected int64"):
        purity(graph, torch.zeros(9), k=1)
