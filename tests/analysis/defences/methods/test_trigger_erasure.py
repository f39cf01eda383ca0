"""Erasing the trigger's direction from the features."""

import pytest
import torch
from intertwine.analysis.defences import Detection, erased, estimated_eraser, oracle_eraser
from intertwine.representations import wrap
from intertwine.representations.errors import InputError

from tests.factories import images


def test_erasing_takes_the_triggers_direction_and_leaves_the_rest():
    """Features with the trigger in a coordinate of its own: gone after, the others as they were."""

    class Planted(torch.nn.Module):
        def forward(self, x):
            flag = x[:, 2, 0, 0]
            return torch.cat([x[:, :2].mean((2, 3)), flag[:, None]], 1)

    e = wrap(Planted())
    x = images(80, below=200)
    x[:, 2] = 0

    def trigger(batch):
        out = batch.clone()
        out[:, 2] = 1
        return out

    treated = erased(e, oracle_eraser(e, x[:40], trigger, shrinkage=0.0))
    clean, triggered = treated(x[40:]), treated(trigger(x[40:].float() / 255))
    assert (triggered - clean).abs().max() < 1e-4
    torch.testing.assert_close(clean[:, :2], e(x[40:])[:, :2], atol=1e-4, rtol=1e-3)
    assert treated.layers == e.layers


def test_an_estimated_eraser_takes_what_tells_the_flagged_of_the_most_suspicious_class():
    g = torch.Generator().manual_seed(0)
    x, labels = torch.randn(400, 6, generator=g), torch.arange(400) % 2
    hit = (labels == 1) & (torch.arange(400) % 4 == 1)
    x[hit, 2] += 8
    flagged = hit | ((labels == 0) & (torch.arange(400) < 20))  # the other class's flags are not what counts
    found = Detection(torch.where(hit, 9.0, 0.0).double() + x[:, 0].double() / 100, flagged)
    eraser = estimated_eraser(x, labels, found)
    after = eraser(x)
    assert abs(float(after[hit, 2].mean() - after[(labels == 1) & ~hit, 2].mean())) < 1.0
    torch.testing.assert_close(after[:, 4], x[:, 4], atol=0.3, rtol=0)
    with pytest.raises(InputError, match="found: expected some images of the most suspicious class to be flagged"):
        estimated_eraser(x, labels, Detection(found.scores, torch.zeros_like(flagged)))
