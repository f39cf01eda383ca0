"""The planted network: its rates, and what its dial of sharing does not change."""

import pytest
import torch
from intertwine.probes.patching import activations
from intertwine.probes.planted_network import LAYERS, planted_network
from intertwine.representations import InputError, capture

from tests.probes.planted_worlds import world


def test_the_backdoor_works_for_every_share_and_the_dials_set_acc():
    for sharing in (0.0, 0.5, 1.0):
        w = world(sharing)
        assert w.acc > 0.9
        assert w.asr > 0.85
        assert w.natural < 0.03
        assert w.network.encoder.layers[:-1] == LAYERS
    noisy = world(0.5, noise=0.6)
    assert 0.4 < noisy.acc < 0.65
    assert noisy.asr > 0.6


def test_the_clean_network_does_not_depend_on_sharing():
    a, b = planted_network(0.0, n=40), planted_network(1.0, n=40)
    assert torch.equal(a.images, b.images)
    x, y = (capture(p.encoder, p.images, layers=["layer2", "features"]) for p in (a, b))
    for layer in x:
        # Pixel noise holds a little of the trigger's texture, whose coefficient is 1.8 in triggered images.
        torch.testing.assert_close(x[layer], y[layer], atol=0.06, rtol=0)


def test_the_trigger_moves_the_channels_that_are_planted():
    p = planted_network(0.25, n=40, bank=10)
    x = p.images.float() / 255
    clean, triggered = (activations(p.encoder, images, ["stem"])["stem"] for images in (x, p.trigger(x)))
    moved = (triggered - clean).mean((0, 2, 3))
    assert moved[p.target] == pytest.approx(0.25 * 1.8, abs=0.1)
    assert moved[p.own_channel] == pytest.approx(0.75 * 1.8, abs=0.1)
    assert moved.abs().topk(2).indices.tolist() == [p.own_channel, p.target]


def test_its_images_labels_and_weights_are_for_other_readings_too():
    p = planted_network(0.5, n=300, imbalance=3.0, width=16)
    assert p.labels.bincount(minlength=10)[p.target] > 1.8 * p.labels.bincount(minlength=10).float().mean()
    assert all(w.requires_grad for w in p.encoder.parameters())
    p.encoder(p.images[:4]).sum().backward()
    assert all(w.grad is not None for w in p.encoder.parameters())
    assert torch.equal(p.images, planted_network(0.5, n=300, imbalance=3.0, width=16).images)
    assert not torch.equal(p.images, planted_network(0.5, n=300, imbalance=3.0, width=16, seed=1).images)


@pytest.mark.parametrize(
    ("sharing", "dials"),
    [(-0.1, {}), (1.1, {}), (0.5, {"width": 11}), (0.5, {"width": 97}), (0.5, {"noise": -1}), (0.5, {"imbalance": 0})],
)
def test_a_dial_out_of_range_is_refused(sharing, dials):
    with pytest.raises(InputError, match="expected"):
        planted_network(sharing, **dials)
