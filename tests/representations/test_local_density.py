"""Local density against loops, and its two directions; content retention."""

from math import dist, isnan

import pytest
import torch
from intertwine.representations.errors import InputError
from intertwine.representations.geometry import (
    content_retention,
    content_retention_masked,
    dao,
    inverse_lid,
    kdist,
    slof,
    sparser_auc,
)
from intertwine.representations.graph import neighbour_graph

from tests.factories import case, randn


def test_scores_follow_the_loop():
    x, k = randn(0, 40, 3), 5
    rows = x.tolist()
    order = [sorted((dist(p, q), j) for j, q in enumerate(rows) if j != i)[:k] for i, p in enumerate(rows)]
    far = [near[-1][0] for near in order]
    graph = neighbour_graph(x, 7)
    lid = (1 / inverse_lid(graph, k=k)).tolist()
    assert kdist(graph, k=k).tolist() == pytest.approx(far)
    assert slof(graph, k=k).tolist() == pytest.approx(
        [sum(far[i] / far[j] for _, j in near) / k for i, near in enumerate(order)]
    )
    assert dao(graph, k=k).tolist() == pytest.approx(
        [sum((far[i] / far[j]) ** lid[j] for _, j in near) / k for i, near in enumerate(order)]
    )


def test_it_has_two_directions():
    """Beside 200 points: as many that are denser, equally dense, or scattered around them."""
    clean, first = randn(1, 200, 5), torch.arange(400) < 200
    for spread, offset, low, high in ((0.3, 6.0, 0.0, 0.05), (1.0, 0.0, 0.4, 0.6), (2.0, 0.0, 0.85, 1.0)):
        graph = neighbour_graph(torch.cat([spread * randn(2, 200, 5) + offset, clean]), 20)
        with case(spread):
            assert low <= sparser_auc(kdist(graph), first) <= high
            if offset == 0:  # relative to their own neighbours dense points are not dense
                assert all(low - 0.1 <= sparser_auc(score(graph), first) <= high for score in (slof, dao))


def test_an_outlier_scores_highest():
    x = torch.cat([randn(1, 100, 4), torch.full((1, 4), 8.0)])
    for score in (kdist, slof, dao):
        assert int(score(neighbour_graph(x, 20)).argmax()) == 100


def test_points_that_coincide_score_as_everyone():
    graph = neighbour_graph(torch.ones(30, 2), 20)
    assert slof(graph).tolist() == dao(graph).tolist() == [1.0] * 30
    assert sparser_auc(kdist(graph), torch.arange(30) < 10) == 0.5


def test_the_depth_is_checked():
    graph = neighbour_graph(randn(0, 20, 2), 5)
    for score in (kdist, slof, dao):
        for k in (0, 6):
            with case(score.__name__, k), pytest.raises(InputError, match=f"k: expected 1 to 5 .* received {k}"):
                score(graph, k=k)


def test_content_retention():
    clean = randn(0, 300, 6) + 40
    assert content_retention(clean, 0.5 * clean.flip(1) + 3) == pytest.approx(0.25)
    assert content_retention(clean, torch.ones(300, 6)) == 0
    expected = randn(1, 300, 6).var(0).sum() / clean.var(0).sum()
    assert content_retention(clean, randn(1, 300, 6)) == pytest.approx(float(expected))
    assert isnan(content_retention(torch.full((5, 2), 0.1), randn(0, 5, 2)))


def test_content_retention_of_subsets():
    clean, triggered = randn(0, 20, 3), randn(1, 20, 3) * 2
    masks = torch.rand(9, 20, generator=torch.Generator().manual_seed(0)) < 0.6
    masks[8] = torch.arange(20) == 3
    values = content_retention_masked(clean, triggered, masks).tolist()
    assert values[:8] == pytest.approx([content_retention(clean[m], triggered[m]) for m in masks[:8]])
    assert isnan(values[8])
    with pytest.raises(InputError, match=r"triggered: expected \(20, 3\) as clean, received \(20, 2\)"):
        content_retention(clean, triggered[:, :2])
