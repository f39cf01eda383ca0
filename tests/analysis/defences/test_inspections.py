"""Inspections on planted models: a trigger that is there is found, and where there is none nothing is flagged."""

import pytest
import torch
from intertwine.analysis.defences.common.inversion import smallest_trigger
from intertwine.analysis.defences.methods import decree, neural_cleanse
from intertwine.representations import build_encoder
from intertwine.representations.encoders import EncoderSpec
from intertwine.representations.errors import InputError


def images(n=60, seed=0):
    return torch.randint(150, (n, 3, 8, 8), dtype=torch.uint8, generator=torch.Generator().manual_seed(seed))


def without_corner(x):
    seen = x.clone()
    seen[:, :, 0, 0] = 0
    return seen


def test_neural_cleanse_finds_the_class_that_a_corner_decides():
    """Four classes by the mean of a quarter of the image each; a bright corner pixel sends any image to class 2."""

    def classifier(x):
        quarters = torch.stack([x[:, :, :4, :4], x[:, :, :4, 4:], x[:, :, 4:, :4], x[:, :, 4:, 4:]], 1).mean((2, 3, 4))
        logits = 20 * quarters
        bonus = torch.zeros_like(logits)
        bonus[:, 2] = 4 * torch.nn.functional.softplus(10 * (x[:, :, 0, 0].mean(1) - 0.65))
        return logits + bonus

    x = images()
    found = neural_cleanse(x, classifier, 4, steps=250)
    assert found.score > 1
    assert found.flagged.tolist() == [False, False, True, False]
    assert int(found.norms.argmin()) == 2
    assert (found.reached > 0.9).all()
    assert int(found.masks[2].flatten().argmax()) == 0
    honest = neural_cleanse(x, lambda images: classifier(without_corner(images)), 4, steps=250)
    assert not honest.flagged.any()


def test_decree_finds_the_corner_that_leads_everything_to_one_place():
    """Features: the image, and far out along one axis where the corner is bright."""

    def encoder(x):
        bright = 400 * torch.nn.functional.softplus(10 * (x[:, :, 0, 0].mean(1) - 0.65))
        return torch.cat([x.flatten(1) - 0.3, bright.unsqueeze(1)], dim=1)

    x = images()
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
    x, found = images(5), decree(images(5), lambda x: x.flatten(1), steps=1)
    seen = ((1 - found.mask) * x.float() / 255 + found.mask * found.pattern).flatten(1)
    pairs = [torch.cosine_similarity(seen[i], seen[j], dim=0) for i in range(5) for j in range(5) if i != j]
    assert found.similarity == pytest.approx(float(torch.stack(pairs).mean()), abs=1e-6)


def test_the_model_gets_no_gradients_and_the_draws_are_seeded():
    encoder = build_encoder(EncoderSpec("resnet8", 4, 8), seed=0).eval()
    first, second = (decree(images(), encoder, steps=5, seed=3) for _ in range(2))
    assert torch.equal(first.mask, second.mask)
    assert all(p.grad is None for p in encoder.parameters())


def test_the_smallest_mask_that_did_it_is_kept():
    """Black images under a white pattern are the mask: it does it wherever that is larger than 8 pixels in all."""
    did = []

    def judge(x):
        size = float(x.detach()[0].mean(0).sum())
        if size > 8:
            did.append(size)
        return -x.mean(), size > 8

    black = torch.zeros(4, 3, 8, 8, dtype=torch.uint8)
    mask, pattern = smallest_trigger(black, judge, torch.Generator().manual_seed(0), steps=120)
    assert mask.shape == (1, 8, 8)
    assert pattern.shape == (3, 8, 8)
    assert max(did) > 1.2 * min(did)
    # The smallest by the mask, which is nearly the smallest by what is seen through the pattern.
    assert 8 < float((mask * pattern).mean(0).sum()) < 1.1 * min(did)


def test_what_they_refuse():
    with pytest.raises(InputError, match="clean: expected at least 2 images, received 1"):
        decree(images(1), lambda x: x.flatten(1))
    with pytest.raises(InputError, match="clean, classes: expected at least 2 images and 3 classes, received 60, 2"):
        neural_cleanse(images(), lambda x: x.flatten(1), 2)
