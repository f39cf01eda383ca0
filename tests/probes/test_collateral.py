"""Collateral follows what is planted; it is undefined, with a reason, where there is nothing to compare."""

import math
from itertools import pairwise

import pytest
import torch
from intertwine.probes.collateral import class_eraser, collateral, trigger_erasers
from intertwine.representations import InputError

from tests.factories import case, hooks, randn
from tests.probes.planted_worlds import collateral_of, world


def test_it_rises_with_the_share_that_runs_through_the_class_branch():
    found = [collateral_of(world(m)) for m in (0.0, 0.25, 0.5, 1.0)]
    values = [k.value for k in found]
    assert all(a < b for a, b in pairwise(values)), values
    assert values[0] < 0.1
    assert values[-1] > 0.9
    for k in found:
        assert k.rank == 1
        assert k.asr[0] > 0.85
        assert k.asr[-1] < 0.1
        assert abs(k.apart) < 0.1
        assert k.class_cost > 0.8


@pytest.mark.parametrize("dials", [{"noise": 0.5}, {"n": 1000}, {"bank": 400}, {"imbalance": 3.0}, {"width": 96}])
def test_other_dials_do_not_move_its_ends(dials):
    with case(dials):
        assert abs(collateral_of(world(0.0, **dials)).value) < 0.1
        assert collateral_of(world(1.0, **dials)).value > 0.9


def test_with_few_images_the_interval_holds_the_ends():
    for sharing in (0.0, 1.0):
        k = collateral_of(world(sharing, n=250))
        low, high = k.interval()
        assert len(k.before) < 30
        assert low < sharing < high


def test_behind_the_stage_at_which_the_branches_meet_all_is_shared():
    assert collateral_of(world(0.0), "features").value > 0.9


def test_the_interval_holds_the_value_and_has_a_width_when_all_scores_are_equal():
    for sharing in (0.0, 0.5, 1.0):
        k = collateral_of(world(sharing))
        low, high = k.interval()
        assert low < k.value < high
        assert 0.005 < high - low < 0.5
    assert bool((collateral_of(world(0.0, noise=0.1)).before == 1).all())
    low, high = collateral_of(world(0.0, noise=0.1)).interval()
    assert high - low > 0.01


def test_it_is_undefined_where_the_backdoor_does_not_go():
    k = collateral_of(world(1.0), benign_asr=-1.0)
    assert k.rank == 0
    assert len(k.asr) == 5
    assert k.value != k.value
    assert k.apart != k.apart
    assert "not gone at any of the ranks" in k.undefined
    assert all(math.isnan(x) for x in k.interval())


def test_it_is_undefined_where_there_is_no_backdoor_to_remove():
    k = collateral_of(world(1.0), benign_asr=0.99)
    assert k.rank == 0
    assert len(k.asr) == 1
    assert k.undefined


def test_it_is_undefined_where_the_class_direction_costs_nothing():
    w = world(1.0)
    k = collateral_of(w, benign_asr=w.natural)
    same = type(k)(k.before, k.after, k.before, k.random, k.rank, k.asr)
    assert same.value != same.value
    assert "removing the class direction costs 0" in same.undefined


def test_the_erasers_remove_the_mean_displacement_and_then_more():
    labels = torch.arange(200) % 4
    clean = randn(0, 4, 8)[labels] + 0.3 * randn(1, 200, 8)
    moved = clean + randn(2, 8) + randn(3, 200, 2) @ randn(4, 2, 8)
    one, two, three, eight = trigger_erasers(clean, moved, labels, 0, [1, 2, 3, 7])
    assert [e.rank for e in (one, two, three)] == [1, 2, 3]
    assert eight.rank <= 7
    assert (one(moved) - one(clean)).mean(0).abs().max() < 1e-9
    left = [(e(moved) - e(clean)).square().sum() for e in (one, two, three)]
    assert left[1] < left[0]
    assert left[2] < 1e-6 * left[0]
    # What is removed is set to the mean of clean images of other classes.
    centre = clean[labels != 0].mean(0, keepdim=True)
    torch.testing.assert_close(one(centre), centre)
    torch.testing.assert_close(one(one(clean)), one(clean))


def test_the_class_eraser_makes_the_means_of_class_and_others_equal():
    labels = torch.arange(200) % 4
    clean = randn(0, 4, 8)[labels] + 0.3 * randn(1, 200, 8)
    erased = class_eraser(clean, labels, 0)(clean)
    others = clean[labels != 0].mean(0)
    torch.testing.assert_close(erased[labels == 0].mean(0), others)
    torch.testing.assert_close(erased[labels != 0].mean(0), others)


def test_a_trigger_that_moves_nothing_has_no_direction():
    labels = torch.arange(40) % 4
    clean = randn(0, 40, 5)
    eraser = trigger_erasers(clean, clean, labels, 0, [1])[0]
    assert eraser.rank == 0
    torch.testing.assert_close(eraser(clean), clean)


@pytest.mark.parametrize(
    ("changed", "says"),
    [
        ({"labels": torch.zeros(1000, dtype=torch.int64)}, "expected the target 3 and another class"),
        ({"labels": torch.zeros(3, dtype=torch.int64)}, "labels \\(m,\\)"),
        ({"bank": torch.zeros(1000, 1), "bank_triggered": torch.zeros(1000, 1)}, "at least two channels"),
        ({"bank_triggered": torch.zeros(1000, 3)}, "without and with the trigger"),
        ({"of_target": torch.zeros(0, 3, 24, 24)}, "at least one image"),
        ({"layer": "layer9"}, "layer: expected one of stem"),
    ],
)
def test_wrong_input_is_refused(changed, says):
    w = world(0.5)
    p = w.network
    bank = changed.get("bank", w.bank["layer2"]), changed.get("labels", p.bank_labels)
    with pytest.raises(InputError, match=says):
        collateral(
            *(p.encoder, changed.get("layer", "layer2"), p.trigger(p.images[:3])),
            *(changed.get("of_target", p.images[:3]), bank, changed.get("bank_triggered", w.bank_triggered["layer2"])),
            *(w.predict, p.target),
            benign_asr=0.0,
        )
    assert hooks(p.encoder) == 0
