"""STRIP: a trigger that decides alone leaves no doubt under overlays."""

import pytest
import torch
from intertwine.analysis.defences import strip
from intertwine.representations.errors import InputError

from tests.factories import images, randn


def by_corner(x):
    """Sure of class 0 where the corner is bright even under an overlay, else undecided by the image's mean."""
    bright = x[:, :, -2:, -2:].mean((1, 2, 3)) > 0.5
    p = torch.full((len(x), 2), 0.5)
    p[bright] = torch.tensor([0.999, 0.001])
    return p


def test_a_trigger_that_decides_alone_has_low_entropy():
    clean, examined = images(30) // 2, images(40, seed=1) // 2
    examined[:10, :, -2:, -2:] = 255
    found = strip(examined, clean[:15], clean[15:], by_corner, seed=3)
    assert found.scores[:10].min() > found.scores[10:].max()
    assert found.flagged[:10].all()
    assert not found.flagged[10:].any()


def test_it_keeps_its_false_alarms_where_nothing_is_poisoned():
    weights = randn(5, 192, 5, dtype=torch.float32)
    examined, fitted, held_out = (images(n, seed=seed) for n, seed in ((300, 1), (150, 2), (300, 3)))
    found = strip(examined, fitted, held_out, lambda x: (x.flatten(1) @ weights).softmax(1))
    assert 0.01 < float(found.flagged.double().mean()) < 0.12


def test_what_it_refuses():
    with pytest.raises(InputError, match="clean: expected at least 2 images"):
        strip(images(4), images(1), images(4), by_corner)
    with pytest.raises(InputError, match="held_out: expected at least 2 images"):
        strip(images(4), images(4), images(1), by_corner)
