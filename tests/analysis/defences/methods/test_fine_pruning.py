"""Fine-pruning: what clean images leave asleep is cut."""

import torch
from intertwine.analysis.defences import fine_pruning

from tests.analysis.defences.planted import PLAIN, halves
from tests.factories import small_encoder


def test_it_cuts_what_clean_images_leave_asleep():
    """One channel of the last convolution answers to nothing clean: it goes, with those that ACC does not miss."""
    e, (x, labels) = small_encoder(8, 16).eval(), halves()
    with torch.no_grad():
        e.backbone.layer3[0].bn2.bias[3] = -50.0
    pruned = fine_pruning(e, x, labels, augment=PLAIN, epochs=0)
    assert pruned.backbone.layer3[0].bn2.weight[3] == 0
    assert pruned.backbone.layer3[0].bn2.bias[3] == 0
    kept = (pruned.backbone.layer3[0].bn2.weight != 0).sum()
    assert 0 < kept < len(pruned.backbone.layer3[0].bn2.weight)
    assert e.backbone.layer3[0].bn2.bias[3] == -50
