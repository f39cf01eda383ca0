"""What an encoder is shown: checked, and drawn by the seed."""

import pytest
import torch
from intertwine.analysis.panel import PanelOptions
from intertwine.analysis.panel.evaluation_data import evaluation_data
from intertwine.representations.errors import InputError
from intertwine.training.augment import Augment

from tests.factories import case, images

X, LABELS = images(250), torch.arange(250) % 5
BANK = images(400, seed=1), torch.arange(400) % 5


def no_trigger(x):
    return x


def made(options=None, **change):
    given = {"images": X, "labels": LABELS, "trigger": no_trigger, "target": 0, "bank": BANK}
    return evaluation_data(options=options or PanelOptions(), **given | change)


def test_what_a_trigger_gives_is_looked_at():
    for trigger, found in (
        (lambda x: x * 255, "trigger: expected uint8, or floats in .0, 1., received floats from "),
        (lambda x: (x - 0.5) / 0.25, "received floats from -"),
        (lambda x: x[..., :4], r"trigger: expected a float batch \(2, 3, 8, 8\) in .0, 1., received torch.float32 \(2"),
        (lambda x: (x * 255).to(torch.uint8), "received torch.uint8"),
        (lambda x: None, "received NoneType"),
    ):
        with case(found), pytest.raises(InputError, match=found):
            made(trigger=trigger)


def test_bad_arguments_are_named():
    for change, message in (
        (
            {"target": 9},
            "target: expected class 9 and at least one other among the test labels, received classes .0, 1",
        ),
        (
            {"labels": torch.zeros(3, dtype=torch.int64)},
            r"labels: expected int64 \(250,\), received torch.int64 \(3,\)",
        ),
        ({"labels": LABELS.int()}, r"labels: expected int64 \(250,\), received torch.int32"),
        ({"labels": torch.zeros_like(LABELS)}, "at least one other among the test labels"),
        ({"images": torch.zeros(250, 1, 8, 8, dtype=torch.uint8)}, r"images: expected uint8 \(n, 3, H, W\)"),
        ({"images": torch.zeros(250, 3, 8, 8)}, "received torch.float32"),
        ({"bank": (BANK[0][:3].float(), BANK[1][:3])}, r"bank: expected uint8 \(n, 3, H, W\), received torch.float32"),
        ({"bank": (BANK[0], BANK[1] + 1)}, "at least one other among the bank labels"),
    ):
        with pytest.raises(InputError, match=message):
            made(**change)


def test_all_images_are_held_out_and_some_are_drawn():
    data = made(PanelOptions(images=120, bank=150, seed=3))
    assert torch.equal(data.test, X)
    assert len(data.drawn) == len(data.images) == len(data.classes) == 120
    assert torch.equal(data.images, X[data.drawn])
    assert torch.equal(data.others, data.classes != 0)
    assert (data.drawn.diff() > 0).all(), "in the order of the images"
    assert len(data.bank) == len(data.bank_labels) == 150
    again, other = made(PanelOptions(images=120, bank=150, seed=3)), made(PanelOptions(images=120, bank=150, seed=4))
    assert torch.equal(again.drawn, data.drawn)
    assert not torch.equal(other.drawn, data.drawn)


def test_few_images_are_all_taken():
    data = made()
    assert torch.equal(data.drawn, torch.arange(250))
    assert data.bank is BANK[0], "nothing is copied"


def test_without_a_bank_half_of_the_images_are_one():
    data = made(bank=None, augment=Augment(flip=0.0))
    assert (len(data.bank), len(data.test)) == (125, 125)
    both = torch.cat([data.bank, data.test]).flatten(1).unique(dim=0)
    assert len(both) == 250, "no image is in both"
    assert data.augment.flip == 0
