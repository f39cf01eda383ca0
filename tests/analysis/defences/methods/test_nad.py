"""NAD: attention of a fine-tuned teacher."""

import torch
from intertwine.analysis.defences import nad
from intertwine.analysis.defences.methods.nad import attention

from tests.analysis.defences.planted import PLAIN


def test_a_planted_backdoor_goes_and_the_classes_stay(must_repair, backdoored):
    b = backdoored
    must_repair(*(lambda n=n: nad(b.encoder, b.clean, b.clean_labels, augment=PLAIN, epochs=n) for n in (20, 2)))


def test_attention_is_where_activations_are():
    maps = torch.zeros(2, 3, 2, 2)
    maps[0, :, 0, 1] = torch.tensor([1.0, -2.0, 2.0])
    maps[1, 0] = 5.0
    found = attention(maps)
    torch.testing.assert_close(found[0], torch.tensor([0.0, 1.0, 0.0, 0.0]))
    torch.testing.assert_close(found[1], torch.full((4,), 0.5))
