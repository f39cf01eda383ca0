"""The smallest trigger that does something to a model."""

import torch
from intertwine.analysis.defences.common.inversion import smallest_trigger


def test_the_smallest_mask_that_did_it_is_kept():
    """Black images under a white pattern are the mask: it does it wherever that is larger than 8 pixels in all."""
    did = []

    def judge(x):
        size = float(x.detach()[0].mean(0).sum())
        if size > 8:
            did.append(size)
        return -x.mean(), size > 8

    black = torch.zeros(4, 3, 8, 8, dtype=torch.uint8)
    mask, pattern = smallest_trigger(black, judge, torch.Generator().manual_seed(0), steps=120)
    assert mask.shape == (1, 8, 8)
    assert pattern.shape == (3, 8, 8)
    assert max(did) > 1.2 * min(did)
    # The smallest by the mask, which is nearly the smallest by what is seen through the pattern.
    assert 8 < float((mask * pattern).mean(0).sum()) < 1.1 * min(did)
