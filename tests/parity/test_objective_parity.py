"""Loss values against lightly's."""

import pytest
from intertwine.training.objectives import barlow_loss, info_nce, nt_xent, regression_loss
from torch.nn.functional import normalize

from tests.factories import randn32

pytestmark = pytest.mark.parity


@pytest.fixture
def losses():
    return pytest.importorskip("lightly.loss")


@pytest.mark.parametrize("temperature", [0.1, 0.5])
def test_nt_xent(losses, temperature):
    a, b = randn32(0, 32, 16), randn32(1, 32, 16)
    theirs = losses.NTXentLoss(temperature)(a, b)
    assert float(nt_xent(a, b, temperature).mean()) == pytest.approx(float(theirs), rel=1e-5)


@pytest.mark.parametrize("temperature", [0.1, 0.5])
def test_info_nce_with_their_memory_bank(losses, temperature):
    """Theirs enqueues the keys of the second view and asks in one direction."""
    theirs = losses.NTXentLoss(temperature, memory_bank_size=(64, 16)).train()
    queue = normalize(randn32(2, 64, 16), dim=1)
    theirs(randn32(0, 32, 16), randn32(0, 32, 16))  # makes the bank
    theirs.memory_bank.bank = queue.clone()
    q, k = randn32(3, 32, 16), randn32(4, 32, 16)
    assert float(info_nce(q, k, queue, temperature).mean()) == pytest.approx(float(theirs(q, k)), rel=1e-5)


def test_regression_loss_is_two_plus_twice_theirs(losses):
    p, z = randn32(0, 32, 16), randn32(1, 32, 16)
    theirs = losses.NegativeCosineSimilarity()(p, z)
    assert float(regression_loss(p, z).mean()) == pytest.approx(2 + 2 * float(theirs), abs=1e-5)


@pytest.mark.parametrize("weight", [5e-3, 0.3])
def test_barlow_loss(losses, weight):
    a = randn32(0, 64, 16)
    b = a + randn32(1, 64, 16)
    theirs = losses.BarlowTwinsLoss(lambda_param=weight)(a, b)
    assert float(barlow_loss(a, b, weight)) == pytest.approx(float(theirs), rel=1e-4)
