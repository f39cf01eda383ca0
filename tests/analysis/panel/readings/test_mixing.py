"""Neighbour mixing on features whose truth is known: sets of unequal sizes, and ties."""

from dataclasses import replace

import pytest
import torch
from intertwine.analysis.panel.readings import Features, read
from torch.nn.functional import one_hot


def mixing(f, subset="triggered"):
    return read(f, ["neighbour_mixing"])[("neighbour_mixing", subset)]


def test_the_interval_weighs_both_sets_alike_though_some_points_were_never_drawn():
    """The triggered images are ten times the target's, and half of them lie among these: most are in no balanced
    draw."""
    g = torch.Generator().manual_seed(0)
    labels = torch.arange(660) % 11
    clean = one_hot(labels, 12).double() + 0.05 * torch.randn(660, 12, generator=g)
    triggered = clean.clone()
    moved = (labels != 0) & (torch.arange(660) % 2 == 0)
    triggered[moved] = clean[labels == 0][torch.randint(60, (int(moved.sum()),), generator=g)] + 1e-3
    reading = mixing(Features(clean, triggered, triggered[labels != 0], labels, 0, moved, clean, labels))
    middle = sum(reading.interval) / 2
    assert reading.interval[0] < reading.value < reading.interval[1]
    assert reading.value == pytest.approx(middle, abs=0.03)


@pytest.mark.parametrize("first", [0, 1])
def test_the_order_of_the_images_does_not_break_ties(first):
    """Two points only, of 90 triggered images with 30 of the target, and of 10 with 70. Of five neighbours at random
    among those at one point, 2·90·30/120 and 2·10·70/80 of 200 queries' are foreign; in the order of the classes 100
    of 200 are."""
    place = torch.cat([torch.arange(100) >= 90, torch.arange(100) >= 30]).long()
    labels = torch.arange(200) // 100 if first else 1 - torch.arange(200) // 100
    points, hits = one_hot(place, 2).double(), labels != 0
    order = torch.cat([torch.arange(100, 200), torch.arange(100)]) if first else torch.arange(200)
    of = Features(points[order], points[order], points[order][hits], labels, 0, hits, points[order], labels)
    values = [mixing(replace(of, seed=seed)).value for seed in range(8)]
    assert sum(values) / 8 == pytest.approx(0.622, abs=0.1)


def test_it_is_read_where_few_of_many_neighbours_are_drawn():
    """The triggered images apart and nine times as many: nearly all neighbours of their points are in their own set, of
    which few are drawn."""
    g = torch.Generator().manual_seed(0)
    labels = torch.arange(600) % 10
    clean = one_hot(labels, 12).double() + 0.05 * torch.randn(600, 12, generator=g)
    triggered = one_hot(torch.full((600,), 11), 12).double()
    triggered = triggered + 0.05 * torch.randn(600, 12, generator=g)
    f = Features(clean, triggered, triggered[labels != 0], labels, 0, labels != 0, clean, labels)
    for subset in ("triggered", "hits"):
        reading = mixing(f, subset)
        assert (reading.status, reading.value) == ("ok", 0.0)
        assert reading.interval[1] > 0
