"""Forgetting: the slope is the one of a pencil, and a walk pauses where it says."""

import math

import pytest
import torch
from intertwine.probes.forgetting import forgetting_coupling, walk
from intertwine.representations.errors import InputError
from torch import nn


def test_tasks_that_fall_alike_have_slope_one_and_those_apart_zero():
    fall = [0.9, 0.7, 0.4, 0.1]
    assert forgetting_coupling(fall, fall, excess=0.8) == pytest.approx(1)
    assert forgetting_coupling([0.8] * 4, fall, excess=0.8) == 0
    assert forgetting_coupling([0.8, 0.85, 0.9, 0.9], fall, excess=0.8) < 0


def test_what_comes_after_the_backdoor_is_gone_does_not_count():
    gone = [1.0, 0.5, 0.1, 0.0, 0.0]
    early = forgetting_coupling([0.9, 0.85, 0.81, 0.2, 0.1], gone, excess=1.0)
    assert early == pytest.approx((0.05 * 0.5 + 0.09 * 0.9) / (0.5**2 + 0.9**2))


def test_a_backdoor_that_stays_has_no_coupling():
    assert math.isnan(forgetting_coupling([0.9, 0.1], [1.0, 0.8], excess=1.0))
    with pytest.raises(InputError, match="retained, forgotten: expected the same two points or more, received 1 and 2"):
        forgetting_coupling([0.9], [1.0, 0.8], excess=1.0)


def test_a_walk_pauses_at_its_stops_and_goes_down():
    p = nn.Parameter(torch.tensor([3.0]))
    seen = [(stop, p.item()) for stop in walk([p], lambda step: (p**2).sum(), (0, 1, 5), lr=0.1)]
    assert [stop for stop, _ in seen] == [0, 1, 5]
    assert [value for _, value in seen] == pytest.approx([3.0, 2.9, 2.5], abs=0.01)


def test_a_walk_ends_before_what_is_no_longer_finite():
    p = nn.Parameter(torch.tensor([1.0]))

    def loss(step):
        return (p * (float("inf") if step == 2 else 1.0)).sum()

    assert list(walk([p], loss, (0, 1, 2, 4), lr=0.1)) == [0, 1, 2]
    assert math.isfinite(p.item())
    with pytest.raises(InputError, match=r"stops: expected ascending numbers .* received \[2, 1\]"):
        list(walk([p], loss, (2, 1), lr=0.1))
