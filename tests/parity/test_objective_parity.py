"""Loss values against lightly's."""

import pytest
import torch
from intertwine.training.objectives import barlow_loss, info_nce, nt_xent, regression_loss
from torch.nn.functional import normalize

pytestmark = pytest.mark.parity


def rand(*shape: int, seed: int = 0) -> torch.Tensor:
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed))


@pytest.fixture
def losses():
    return pytest.importorskip("lightly.loss")


@pytest.mark.parametrize("temperature", [0.1, 0.5])
def test_nt_xent(losses, temperature):
    a, b = rand(32, 16), rand(32, 16, seed=1)
    theirs = losses.NTXentLoss(temperature)(a, b)
    assert float(nt_xent(a, b, temperature).mean()) == pytest.approx(float(theirs), rel=1e-5)


@pytest.mark.parametrize("temperature", [0.1, 0.5])
def test_info_nce_with_their_memory_bank(losses, temperature):
    """Theirs enqueues the keys of the second view and asks in one direction."""
    theirs = losses.NTXentLoss(temperature, memory_bank_size=(64, 16)).train()
    queue = normalize(rand(64, 16, seed=2), dim=1)
    theirs(rand(32, 16), rand(32, 16))  # makes the bank
    theirs.memory_bank.bank = queue.clone()
    q, k = rand(32, 16, seed=3), rand(32, 16, seed=4)
    assert float(info_nce(q, k, queue, temperature).mean()) == pytest.approx(float(theirs(q, k)), rel=1e-5)


def test_regression_loss_is_two_plus_twice_theirs(losses):
    p, z = rand(32, 16), rand(32, 16, seed=1)
    theirs = losses.NegativeCosineSimilarity()(p, z)
    assert float(regression_loss(p, z).mean()) == pytest.approx(2 + 2 * float(theirs), abs=1e-5)


@pytest.mark.parametrize("weight", [5e-3, 0.3])
def test_barlow_loss(losses, weight):
    a = rand(64, 16)
    b = a + rand(64, 16, seed=1)
    theirs = losses.BarlowTwinsLoss(lambda_param=weight)(a, b)
    assert float(barlow_loss(a, b, weight)) == pytest.approx(float(theirs), rel=1e-4)
