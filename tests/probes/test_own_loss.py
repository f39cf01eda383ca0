"""The arm's own loss, image by image: the batch's loss taken apart."""

import pytest
import torch
from intertwine.probes import (
    align,
    block_gradients,
    gradient_blocks,
    gram_matrices,
)
from intertwine.probes.gradients import WHOLE, own_loss
from intertwine.representations import InputError
from intertwine.representations.seeds import generator
from intertwine.training.augment import Augment
from intertwine.training.objectives import SimCLR, SupCon, Supervised, nt_xent, supcon_loss
from intertwine.training.triggers import Patch

from tests.factories import images, randn


def own_views(n: int, seed: int = 0) -> torch.Tensor:
    return torch.stack([images(n, seed=seed), images(n, seed=seed + 1)], 1)


def two_views(features: torch.Tensor) -> torch.Tensor:
    return features.view(-1, 2, features.shape[1]).transpose(0, 1)


@pytest.mark.parametrize("kind", ["simclr", "supcon"])
def test_own_loss_with_the_rest_of_the_batch_as_bank_is_the_batch_loss(kind):
    """Image by image: its two views against the views of all the others."""
    features, labels = randn(0, 2 * 9, 32).float(), torch.arange(9) % 3
    torch.manual_seed(0)
    objective = (SimCLR if kind == "simclr" else SupCon)(32, 16, 8, 0.5)
    with torch.no_grad():
        objective.projector(randn(3, 50, 32).float() * 2)  # running statistics of its own
    objective.eval()
    with torch.no_grad():
        first, second = objective.projector(two_views(features).flatten(0, 1)).chunk(2)
    batch = nt_xent(first, second, 0.5) if kind == "simclr" else supcon_loss(first, second, labels, 0.5)
    for i in range(9):
        others = torch.arange(18) // 2 != i
        loss = own_loss(objective, labels, bank=features[others], bank_labels=labels.repeat_interleave(2)[others])
        assert float(loss(features[2 * i : 2 * i + 2], torch.tensor([i])).detach()) == pytest.approx(
            float(batch[i]), rel=1e-5
        )


def test_own_loss_of_a_classifier_is_its_cross_entropy():
    torch.manual_seed(0)
    objective, labels, features = Supervised(32, 16, 3).eval(), torch.tensor([0, 1, 2, 1]), randn(0, 2, 32).float()
    index = torch.tensor([3, 2])
    expected = objective(features[None], labels[index]).total
    assert float(own_loss(objective, labels)(features, index).detach()) == pytest.approx(float(expected.detach()))
    twice = own_loss(objective, labels)(features.repeat_interleave(2, 0), index)
    assert float(twice.detach()) == pytest.approx(float(expected.detach()))


@pytest.mark.parametrize("kind", ["supervised", "simclr", "supcon"])
def test_own_loss_is_each_images_own_and_leaves_the_head_alone(encoder, kind):
    """The gradient of a block is the mean of its images' gradients: no image is another's negative."""
    torch.manual_seed(0)
    objective = {"supervised": Supervised(32, 16, 3)}.get(kind) or (SimCLR if kind == "simclr" else SupCon)(
        32, 16, 8, 0.5
    )
    state = {name: v.clone() for name, v in objective.state_dict().items()}
    labels, bank = torch.arange(8) % 3, randn(1, 40, 32).float()
    loss = own_loss(objective, labels, bank=bank, bank_labels=torch.arange(40) % 3)
    x = own_views(8)
    whole = block_gradients(encoder, loss, [torch.arange(8)], x)
    single = block_gradients(encoder, loss, [torch.tensor([i]) for i in range(8)], x)
    for layer, g in whole.items():
        assert g.abs().sum() > 0
        torch.testing.assert_close(g[0], single[layer].mean(0), atol=1e-5, rtol=1e-3)
    assert objective.training
    assert all(torch.equal(v, state[name]) for name, v in objective.state_dict().items())
    assert all(p.grad is None and p.requires_grad for p in objective.parameters())


def test_own_loss_of_an_image_with_and_without_trigger(encoder):
    """The two ends: no trigger at all is one task; and the views of both versions are the same draws."""
    torch.manual_seed(0)
    objective, x = SimCLR(32, 16, 8, 0.5), images(48).float() / 255
    augment = Augment(crop=0.5)

    def views(batch):
        return torch.stack([augment(batch, generator(0, "own-loss", v)) for v in (0, 1)], 1)

    with torch.no_grad():
        bank = encoder.eval()(views(images(40, seed=3).float() / 255).flatten(0, 1))
    loss, blocks = own_loss(objective, torch.zeros(48, dtype=torch.int64), bank=bank), gradient_blocks(48)
    clean, triggered = views(x), views(Patch(8)(x))
    benign = block_gradients(encoder, loss, blocks, clean)
    same = align(gram_matrices(benign, block_gradients(encoder, loss, blocks, clean.clone()))[WHOLE])
    assert same.value == pytest.approx(1)
    other = align(gram_matrices(benign, block_gradients(encoder, loss, blocks, triggered))[WHOLE])
    assert other.value < 0.999


def test_own_loss_names_what_is_missing():
    with pytest.raises(InputError, match=r"bank: expected features \(K, d\) of other images, received None"):
        own_loss(SimCLR(4, 4, 2, 0.5), torch.zeros(3, dtype=torch.int64))
    with pytest.raises(InputError, match=r"bank_labels: expected int64 \(5,\) for SupCon, received None"):
        own_loss(SupCon(4, 4, 2, 0.5), torch.zeros(3, dtype=torch.int64), bank=randn(0, 5, 4).float())
    loss = own_loss(SimCLR(4, 4, 2, 0.5), torch.zeros(3, dtype=torch.int64), bank=randn(0, 5, 4).float())
    with pytest.raises(InputError, match="features: expected 2 views of 3 images, received 3 rows"):
        loss(randn(0, 3, 4).float(), torch.arange(3))
