"""DECREE: the smallest trigger that leads all images to one place."""

import pytest
import torch
from intertwine.analysis.defences import decree
from intertwine.representations.errors import InputError

from tests.analysis.defences.planted import without_corner
from tests.factories import images, small_encoder


def test_it_finds_the_corner_that_leads_everything_to_one_place():
    """Features: the image, and far out along one axis where the corner is bright."""

    def encoder(x):
        bright = 400 * torch.nn.functional.softplus(10 * (x[:, :, 0, 0].mean(1) - 0.65))
        return torch.cat([x.flatten(1) - 0.3, bright.unsqueeze(1)], dim=1)

    x = images(60, below=150)
    found = decree(x, encoder, steps=300)
    assert found.flagged
    assert found.share < 0.05
    assert found.score > 1
    assert found.similarity > 0.98
    assert int(found.mask.flatten().argmax()) == 0
    honest = decree(x, lambda seen: encoder(without_corner(seen)), steps=300)
    assert not honest.flagged
    assert honest.share > 3 * found.share


def test_similarity_is_the_mean_over_pairs():
    x, found = images(5, below=150), decree(images(5, below=150), lambda x: x.flatten(1), steps=1)
    seen = ((1 - found.mask) * x.float() / 255 + found.mask * found.pattern).flatten(1)
    pairs = [torch.cosine_similarity(seen[i], seen[j], dim=0) for i in range(5) for j in range(5) if i != j]
    assert found.similarity == pytest.approx(float(torch.stack(pairs).mean()), abs=1e-6)


def test_the_model_gets_no_gradients_and_the_draws_are_seeded():
    encoder = small_encoder().eval()
    first, second = (decree(images(60, below=150), encoder, steps=5, seed=3) for _ in range(2))
    assert torch.equal(first.mask, second.mask)
    assert all(p.grad is None for p in encoder.parameters())


def test_what_it_refuses():
    with pytest.raises(InputError, match="clean: expected at least 2 images, received 1"):
        decree(images(1), lambda x: x.flatten(1))
