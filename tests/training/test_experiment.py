"""A recipe and its data decide the experiment: the same plan for all arms of a seed, and clean images throughout."""

import pytest
import torch
from intertwine.representations.errors import InputError
from intertwine.training import ARMS, prepare
from intertwine.training.poison import PoisonPlan

from tests.factories import case, tiny_recipe


def test_everything_is_a_function_of_the_recipe():
    torch.manual_seed(1)
    first = prepare(tiny_recipe())
    torch.manual_seed(2)
    again = prepare(tiny_recipe())
    assert first.plan == again.plan
    assert first.train.fingerprint() == again.train.fingerprint()
    assert first.test.fingerprint() == again.test.fingerprint()
    assert torch.equal(first.mask, again.mask)
    assert torch.equal(first.labels, again.labels)
    other = prepare(tiny_recipe(seed=1))
    assert other.plan.hash != first.plan.hash
    assert other.train.fingerprint() != first.train.fingerprint()


def test_all_arms_of_a_seed_share_plan_data_and_trigger():
    """Clean arms too: their readings need the plan's trigger."""
    experiments = {arm: prepare(tiny_recipe(arm=arm)) for arm in ARMS}
    assert len({e.plan.hash for e in experiments.values()}) == 1
    assert len({e.train.fingerprint() for e in experiments.values()}) == 1
    assert len({e.train_trigger for e in experiments.values()}) == 1
    poisoned = {arm: int(e.mask.sum()) for arm, e in experiments.items()}
    count = experiments["simclr-clean"].plan.count
    assert poisoned == {arm: count if ARMS[arm].poisons_data else 0 for arm in ARMS}


def test_mask_and_labels_are_the_arm_s():
    for arm in ARMS:
        with case(arm):
            e = prepare(tiny_recipe(arm=arm, target=3))
            assert e.arm is ARMS[arm]
            assert e.plan.count == round(0.5 * int((e.train.labels == 3).sum()))
            poisons = e.mask.nonzero().flatten().tolist()
            changed = (e.labels != e.train.labels).nonzero().flatten().tolist()
            if arm.endswith("-dirty"):
                assert tuple(poisons) == e.plan.other_indices
                assert changed == poisons
                assert (e.labels[e.mask] == 3).all()
            else:
                assert tuple(poisons) == (e.plan.target_indices if ARMS[arm].poisons_data else ())
                assert changed == []


def test_plan_names_its_data_and_its_trigger():
    first = prepare(tiny_recipe())
    assert first.plan.data == first.train.fingerprint()
    for change in ({"strength": 0.4}, {"trigger_cells": 4}, {"trigger": "patch"}, {"squeeze": (0.1, 0.9)}):
        assert prepare(tiny_recipe(**change)).plan.hash != first.plan.hash, change
    for change in ({"lr": 1.0}, {"epochs": 3}, {"test_strength": 0.9}, {"width": 5}):
        assert prepare(tiny_recipe(**change)).plan == first.plan, change
    assert PoisonPlan.from_dict(first.plan.to_dict()) == first.plan


def test_triggers_have_the_strengths_of_training_and_test():
    e = prepare(tiny_recipe(strength=0.2, test_strength=0.7))
    assert (e.train_trigger.strength, e.test_trigger.strength) == (0.2, 0.7)


def test_what_the_data_do_not_allow_is_refused():
    for changes, message in (
        ({"target": 10}, "target: expected a class from 0 to 9, received 10"),
        ({"poison_fraction": 0.001}, "poison_fraction: expected a poison count from 1 to"),
        ({"poison_fraction": 0.9, "poison_base": "dataset"}, "poison_fraction: expected .*received 180 = 0.9 of 200"),
        ({"data": "digit"}, "digits"),
        ({"n_train": 5000}, "n_train"),
    ):
        with case(message), pytest.raises(InputError, match=message):
            prepare(tiny_recipe(**changes))
