"""Every defence runs on what a defender has, and says what it needs that is not there."""

from dataclasses import replace

import pytest
import torch
from intertwine.analysis.defences import (
    abl_unlearning,
    anp,
    decree,
    defender_of,
    distillation,
    fine_tuning,
    ibau,
    neural_cleanse,
)
from intertwine.analysis.defences.catalogue import DETECTORS, INSPECTIONS, MITIGATIONS, TRIGGER
from intertwine.representations import wrap
from intertwine.representations.errors import InputError

from tests.factories import same, state

ALL = {**DETECTORS, **INSPECTIONS, **MITIGATIONS}


@pytest.fixture
def brief(monkeypatch):
    """Long searches and trainings end after a few steps."""
    for method, name, count in (
        *((neural_cleanse, "steps", 5), (decree, "steps", 10), (anp, "steps", 5), (ibau, "rounds", 1)),
        *((method, "epochs", 2) for method in (distillation, fine_tuning, abl_unlearning)),
    ):
        monkeypatch.setitem(method.__kwdefaults__, name, count)


def test_each_has_a_name_of_its_own_and_needs_something_told():
    assert len(ALL) == len(DETECTORS) + len(INSPECTIONS) + len(MITIGATIONS)
    assert all(all(defence.needs) for defence in ALL.values())


@pytest.mark.parametrize("name", ALL)
def test_every_defence_runs_and_only_oracles_look_at_the_trigger(small_pair, secret, brief, name):
    defender, _ = defender_of(small_pair[0], budget=0.3)
    before = state(defender.encoder)
    if TRIGGER in ALL[name].needs:
        with pytest.raises(AssertionError, match="looked"):
            ALL[name](defender, secret)
        assert name.startswith("oracle")
        return
    found = ALL[name](defender, secret)
    if name in DETECTORS:
        assert found.scores.shape == found.flagged.shape == (300,)
        assert not found.scores.isnan().any()
    elif name in MITIGATIONS:
        assert found(defender.images[:2]).shape == (2, 32)
        assert found.layers == defender.encoder.layers
    else:
        assert found.score >= 0
    assert same(before, state(defender.encoder)), "the encoder stays as it is"


def test_what_is_not_there_is_refused_with_a_sentence(small_pair, of_arm):
    run = small_pair[0]
    trigger = run.experiment.test_trigger
    bare, _ = defender_of(run, budget=0.0)
    for defence in ALL.values():
        if any("clean images" in need for need in defence.needs):
            with pytest.raises(InputError, match=r"defence: expected (clean images|the loss)"):
                defence(bare, trigger)
    for arm, name, message in (
        ("byol-clean", "abl", "the loss of each training image, received byol, whose snapshots do not have it"),
        (
            "simclr-dirty",
            "abl",
            "the loss of each training image, received simclr-dirty, whose pairs the attacker changes",
        ),
        (
            "simclr-dirty",
            "luminance-in-training",
            "the training recipe, received simclr-dirty, whose pairs the attacker",
        ),
        ("badencoder", "luminance-in-training", "the training recipe, received badencoder: no training image is poiso"),
    ):
        with pytest.raises(InputError, match=message):
            ALL[name](of_arm(bare, arm), trigger)


def test_without_batch_normalisation_it_cannot_be_cut(small_pair):
    defender, _ = defender_of(small_pair[0])
    flat = replace(defender, encoder=wrap(torch.nn.Flatten()))
    with pytest.raises(InputError, match="defence: expected batch normalisation in the encoder, received none"):
        ALL["clp"](flat, small_pair[0].experiment.test_trigger)
