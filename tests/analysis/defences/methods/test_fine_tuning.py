"""Fine-tuning on clean images."""

import pytest
import torch
from intertwine.analysis.defences import fine_tuning
from intertwine.representations.errors import InputError

from tests.analysis.defences.planted import PLAIN, halves
from tests.factories import same, small_encoder, state


def test_it_learns_is_seeded_and_leaves_the_original():
    e, (x, labels) = small_encoder(8, 16).eval(), halves()
    before = state(e)
    once, again = (fine_tuning(e, x, labels, augment=PLAIN, epochs=3, seed=1) for _ in range(2))
    assert same(before, state(e))
    assert same(state(once), state(again))
    assert not same(before, state(once))
    assert not once.training
    features = once(x)
    centres = torch.stack([features[labels == c].mean(0) for c in (0, 1)])
    assert (torch.cdist(features, centres).argmin(1) == labels).all()


def test_a_planted_backdoor_goes_and_the_classes_stay(must_repair, backdoored):
    b = backdoored
    must_repair(
        *(lambda n=n: fine_tuning(b.encoder, b.clean, b.clean_labels, augment=PLAIN, epochs=n) for n in (30, 2))
    )


def test_what_it_refuses():
    x, labels = halves()
    with pytest.raises(InputError, match="clean: expected at least 2 images, received 1"):
        fine_tuning(small_encoder(8, 16), x[:1], labels[:1], augment=PLAIN)
