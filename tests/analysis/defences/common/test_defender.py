"""A defender has what is found with an encoder, and nothing that tells of the attack."""

import pytest
import torch
from intertwine.analysis.defences import defender_of
from intertwine.representations.errors import InputError


def test_a_defender_has_the_poisons_and_does_not_say_which(small_pair):
    run, benign = small_pair
    defender, poisoned = defender_of(run)
    e = run.experiment
    assert torch.equal(poisoned, e.mask)
    assert torch.equal(defender.images[~poisoned], e.train.images[~poisoned])
    assert (defender.images[poisoned] != e.train.images[poisoned]).flatten(1).any(1).all()
    assert (defender.labels[poisoned] == e.plan.target).all()
    assert defender.source == "given"
    twin, none = defender_of(benign)
    assert not none.any()
    assert torch.equal(defender.clean, twin.clean), "the budget of every arm is the same"
    assert defender.clean_labels.bincount().tolist() == [3] * 10, "of each class as much"
    dirty = defender.images[poisoned].flatten(1)
    assert not any((dirty == image).all(1).any() for image in defender.clean.flatten(1))


def test_labels_by_source(small_pair):
    run, _ = small_pair
    assert torch.equal(defender_of(run, labels="true")[0].labels, run.experiment.train.labels)
    pseudo, _ = defender_of(run, labels="pseudo")
    assert pseudo.source == "pseudo"
    assert len(pseudo.labels.unique()) == 10
    assert pseudo.clean_groups.shape == pseudo.clean_labels.shape
    with pytest.raises(InputError, match="labels: expected one of given, pseudo, true, received 'mine'"):
        defender_of(run, labels="mine")
    assert torch.equal(pseudo.clean_groups, pseudo.labels[pseudo.known])
    with pytest.raises(
        InputError, match=r"budget: expected at most the 15 images of class 0 that no arm poisons, received 29"
    ):
        defender_of(run, budget=0.97)
    assert len(defender_of(run, labels="pseudo", budget=0.0)[0].clean_groups) == 0


def test_nothing_in_a_defender_tells_of_the_attack(small_pair, unlabelled):
    """Whatever of it a defence can reach: no plan, no mask, no clean copy of a poison, no true label, no trigger."""
    for run in (*small_pair, unlabelled):
        defender, _ = defender_of(run)
        e, told = run.experiment, defender.training.experiment
        assert not told.mask.any()
        assert (told.plan.target_indices, told.plan.other_indices, told.plan.trigger) == ((), (), "")
        assert torch.equal(told.train.images, defender.images)
        assert torch.equal(told.train.labels, defender.labels)
        if run is unlabelled:
            assert defender.source == "pseudo"
            assert not torch.equal(told.labels, e.train.labels)
        assert repr(told.train_trigger) != repr(e.train_trigger)
        assert told.recipe.poison_fraction == type(told.recipe)().poison_fraction
        assert not hasattr(defender.training, "checkpoint")


def test_maps_are_those_of_the_last_stage(small_pair):
    defender, _ = defender_of(small_pair[0])
    assert defender.maps.shape[:2] == (300, 32)
    torch.testing.assert_close(defender.maps.mean((2, 3)), defender.features)
