"""Readings of the network itself: attribution, frequencies, influence and channels, or why there is none."""

import pytest
import torch
from intertwine.analysis.panel.readings.network import BY_NAME, NETWORK_READINGS, network_readings
from intertwine.probes.linear import LinearHead
from intertwine.representations import wrap
from intertwine.training.triggers import Spectral
from torch import nn

from tests.factories import images, randn, small_encoder

X, BANK = images(12, 16), images(20, 16, seed=1)


def corner(x):
    out = x.clone()
    out[..., -4:, -4:] = 1
    return out


@pytest.fixture(scope="module")
def network():
    encoder = small_encoder(16, 16).eval()
    return encoder, LinearHead(randn(2, 3, encoder.dim, dtype=torch.float32), torch.zeros(3))


def found(network, trigger, wanted=NETWORK_READINGS, x=X, bank=BANK, **more):
    return network_readings(*network, trigger, x, bank, 1, wanted, **more)


def test_each_that_is_wanted_is_there(network):
    readings = found(network, corner)
    assert set(readings) == {("channel_lipschitz", ""), *((name, "hits") for name in BY_NAME)}
    share = readings[("channel_lipschitz", "")]
    assert 0 <= share.value <= 1
    assert "channels over 3 SDs; largest" in share.note
    for name in ("attribution_iou", "attribution_energy", "influence_auc"):
        reading = readings[(name, "hits")]
        assert reading.status == "ok"
        assert reading.interval[0] <= reading.value <= reading.interval[1]
    assert readings[("attribution_iou", "hits")].n == len(X)
    assert readings[("frequency_energy", "hits")].note.startswith("expected a spectral trigger, received function")
    assert set(found(network, corner, ["influence_auc"])) == {("influence_auc", "hits")}
    bare = found(network, corner, ["attribution_energy"], intervals=False)[("attribution_energy", "hits")]
    assert bare.interval[0] != bare.interval[0]


def test_a_spectral_trigger_has_its_frequencies(network):
    reading = found(network, Spectral(16), ["frequency_energy"])[("frequency_energy", "hits")]
    assert reading.status == "ok"
    assert 0 <= reading.value <= 1
    assert reading.note.startswith("chance 0.")


def test_why_there_is_none(network):
    nothing = found(network, corner, x=X[:0])
    assert {nothing[(name, "hits")].note for name in BY_NAME} == {
        "expected images that are sent to the target, received none"
    }
    everywhere = found(network, lambda x: 1 - x, ["attribution_iou"])[("attribution_iou", "hits")]
    assert "received one that changes nearly every pixel" in everywhere.note
    nowhere = found(network, lambda x: x, ["attribution_iou"])[("attribution_iou", "hits")]
    assert nowhere.note == "expected maps and masks that are not empty"
    few = found(network, corner, ["influence_auc"], bank=BANK[:3])[("influence_auc", "hits")]
    assert few.note == "expected at least 4 bank images of the target class, received 3"


def test_channels_of_narrow_layers_cannot_be_flagged():
    narrow = wrap(nn.Sequential(nn.Conv2d(3, 8, 3), nn.AdaptiveAvgPool2d(1), nn.Flatten()))
    head = LinearHead(randn(0, 2, 8, dtype=torch.float32), torch.zeros(2))
    reading = network_readings(narrow, head, corner, X, BANK, 0, ["channel_lipschitz"])[("channel_lipschitz", "")]
    assert reading.note.startswith("expected a layer of more than 10 channels")
