"""The baseline: where a class is densest."""

import torch
from intertwine.analysis.defences import class_density

from tests.analysis.defences.planted import must_flag_few_where_nothing_is_poisoned, planted


def test_the_densest_of_a_class_are_flagged():
    x, labels, _ = planted(0, 0)
    x[:9] = x[0] + 0.01 * (x[:9] - x[0])
    found = class_density(x, labels, k=5)
    assert found.flagged[:9].all()
    assert found.scores[:9].min() > found.scores[9:60].max()
    assert found.scores.dtype == torch.float64


def test_it_cuts_the_same_share_of_every_class():
    must_flag_few_where_nothing_is_poisoned(class_density, 0.15)
