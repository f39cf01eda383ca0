"""ABL: what is learned first is isolated, then unlearned."""

import pytest
import torch
from intertwine.analysis.defences import abl_isolation, abl_unlearning
from intertwine.representations.errors import InputError

from tests.analysis.defences.planted import PLAIN, halves
from tests.factories import small_encoder


def test_it_isolates_what_is_learned_best():
    losses = torch.arange(400).double().flip(0)
    found = abl_isolation(losses, share=0.02)
    assert found.flagged.nonzero().flatten().tolist() == list(range(392, 400))
    assert torch.equal(found.scores.argsort(descending=True), losses.argsort())
    with pytest.raises(InputError, match=r"losses: expected finite values \(n,\), received \(2,\)"):
        abl_isolation(torch.tensor([0.1, float("nan")]))


def test_a_planted_backdoor_goes_and_the_classes_stay(must_repair, backdoored):
    b = backdoored
    must_repair(lambda: abl_unlearning(b.encoder, b.poisons, b.clean, b.clean_labels, augment=PLAIN, epochs=3))


def test_unlearning_other_images_leaves_the_backdoor(backdoored):
    b = backdoored
    treated = abl_unlearning(b.encoder, b.clean[:8], b.clean, b.clean_labels, augment=PLAIN, epochs=3)
    assert b.rates(treated)[1] > 0.9


def test_what_it_refuses():
    x, labels = halves()
    with pytest.raises(InputError, match="isolated: expected at least one image, received none"):
        abl_unlearning(small_encoder(8, 16), x[:0], x, labels, augment=PLAIN)
