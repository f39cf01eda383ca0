"""Influence against Captum's TracInCP, on the same snapshots."""

import copy

import pytest
import torch
from intertwine.probes.influence import influence, self_influence
from intertwine.representations import wrap
from torch import nn
from torch.utils.data import TensorDataset

from tests.factories import rand

captum_influence = pytest.importorskip("captum.influence")

pytestmark = pytest.mark.parity


@pytest.fixture(scope="module")
def both():
    """Ours and theirs: snapshots of a small convolutional network with one frozen head."""
    images, labels = rand(0, 12, 3, 6, 6), torch.arange(12) % 3
    test_images, test_labels = rand(1, 4, 3, 6, 6), torch.arange(4) % 3
    torch.manual_seed(0)
    backbone = nn.Sequential(nn.Conv2d(3, 4, 3), nn.ReLU(), nn.Conv2d(4, 5, 3), nn.Tanh(), nn.Flatten())
    head = nn.Linear(20, 3)
    snapshots = []
    for step in range(3):
        snapshot = copy.deepcopy(backbone)
        with torch.no_grad():
            for p in snapshot.parameters():
                p += 0.1 * step * torch.randn_like(p)
        snapshots.append(snapshot)
    rates = [0.5, 0.2, 0.05]
    model = nn.Sequential(copy.deepcopy(backbone), head)

    def load(net: nn.Module, index: int) -> float:
        net[0].load_state_dict(snapshots[index].state_dict())
        return rates[index]

    theirs = captum_influence.TracInCP(
        model,
        TensorDataset(images, labels),
        checkpoints=[0, 1, 2],
        checkpoints_load_func=load,
        layers=["0.0", "0.2"],
        loss_fn=nn.CrossEntropyLoss(reduction="none"),
        batch_size=5,
    )
    names = [name for name, _ in backbone.named_parameters()]
    ours = ([wrap(s) for s in snapshots], [head] * 3, rates, names)
    return theirs, ours, (images, labels), (test_images, test_labels)


def test_tracincp(both):
    theirs, (encoders, heads, rates, names), train, test = both
    expected = theirs.influence(test).double()
    found = influence(encoders, heads, *train, *test, rates=rates, weights=names, chunk=3)
    torch.testing.assert_close(found, expected, rtol=1e-4, atol=1e-6)


def test_tracincp_self_influence(both):
    theirs, (encoders, heads, rates, names), train, _ = both
    expected = theirs.self_influence(train).double()
    found = self_influence(encoders, heads, *train, rates=rates, weights=names)
    torch.testing.assert_close(found, expected, rtol=1e-4, atol=1e-6)
