"""Mitigations on planted encoders and on trained runs: what they take away, and what they must leave alone."""

import pytest
import torch
from intertwine.analysis.defences import (
    blurred,
    clp,
    distillation,
    erased,
    fine_pruning,
    fine_tuning,
    luminance_only,
    neural_cleanse,
    oracle_eraser,
)
from intertwine.representations import build_encoder
from intertwine.representations.encoders import EncoderSpec
from intertwine.representations.errors import InputError
from intertwine.training.augment import Augment

PLAIN = Augment(crop=1.0, flip=0.0, jitter=0.0, hue=0.0, jitter_p=0.0, grayscale=0.0)


def encoder(width=16, seed=0):
    return build_encoder(EncoderSpec("resnet8", width, 16), seed=seed).eval()


def images(n=40, seed=0):
    """Two classes: bright at the top, bright at the bottom."""
    g = torch.Generator().manual_seed(seed)
    x = torch.randint(100, (n, 3, 16, 16), dtype=torch.uint8, generator=g)
    labels = torch.arange(n) % 2
    for i in range(n):
        x[i, :, :8] += 120 * (labels[i] == 0)
        x[i, :, 8:] += 120 * (labels[i] == 1)
    return x, labels


def state(module):
    return {name: x.clone() for name, x in module.state_dict().items()}


def same(a, b):
    return all(torch.equal(x, b[name]) for name, x in a.items())


def test_clp_cuts_the_channel_that_amplifies_and_no_other():
    e = encoder()
    before = state(e)
    with torch.no_grad():
        e.backbone.layer2[0].conv1.weight[5] *= 30
    loud = state(e)
    pruned = clp(e, u=6.0)  # untrained layers have chance outliers beyond 3
    assert same(loud, state(e)), "the encoder itself stays"
    weight = pruned.backbone.layer2[0].conv1.weight
    assert not weight[5].any()
    assert pruned.backbone.layer2[0].bn1.weight[5] == 0
    differ = [n for n, x in pruned.state_dict().items() if not torch.equal(x, before[n])]
    assert differ == ["backbone.layer2.0.conv1.weight", "backbone.layer2.0.bn1.weight"]
    assert torch.equal(weight[:5], before["backbone.layer2.0.conv1.weight"][:5])


def test_clp_leaves_an_encoder_without_outliers_as_it_is():
    e = encoder()
    assert same(state(clp(e, u=20)), state(e))


def test_fine_tuning_learns_is_seeded_and_leaves_the_original():
    e, (x, labels) = encoder(8), images()
    before = state(e)
    once, again = (fine_tuning(e, x, labels, augment=PLAIN, epochs=3, seed=1) for _ in range(2))
    assert same(before, state(e))
    assert same(state(once), state(again))
    assert not same(before, state(once))
    assert not once.training
    features = once(x)
    centres = torch.stack([features[labels == c].mean(0) for c in (0, 1)])
    assert (torch.cdist(features, centres).argmin(1) == labels).all()


def test_fine_pruning_cuts_what_clean_images_leave_asleep():
    """One channel of the last convolution answers to nothing clean: it goes, with those that ACC does not miss."""
    e, (x, labels) = encoder(8), images()
    with torch.no_grad():
        e.backbone.layer3[0].bn2.bias[3] = -50.0
    pruned = fine_pruning(e, x, labels, augment=PLAIN, epochs=0)
    assert pruned.backbone.layer3[0].bn2.weight[3] == 0
    assert pruned.backbone.layer3[0].bn2.bias[3] == 0
    kept = (pruned.backbone.layer3[0].bn2.weight != 0).sum()
    assert 0 < kept < len(pruned.backbone.layer3[0].bn2.weight)
    assert e.backbone.layer3[0].bn2.bias[3] == -50


def test_luminance_is_what_a_grey_image_gives():
    e, (x, _) = encoder(8), images()
    seen = luminance_only(e)
    x = x.float() / 255
    x[:, 0] *= 0.5  # colour
    grey = (x * torch.tensor([0.299, 0.587, 0.114]).view(1, 3, 1, 1)).sum(1, keepdim=True).expand_as(x)
    torch.testing.assert_close(seen(x), e(grey), atol=1e-5, rtol=1e-4)
    assert (seen(x) - e(x)).abs().max() > 1e-3
    assert seen.layers == e.layers


def test_a_blur_takes_fine_patterns_and_leaves_flat_images():
    e = encoder(8)
    flat = torch.full((2, 3, 16, 16), 0.4)
    checker = flat + 0.3 * (torch.arange(16)[:, None] + torch.arange(16)).remainder(2).sub(0.5)
    seen = blurred(e, sigma=2.0)
    torch.testing.assert_close(seen(flat), e(flat), atol=1e-5, rtol=1e-4)
    inner = (seen(checker) - e(flat)).norm() / (e(checker) - e(flat)).norm()
    assert inner < 0.2


def test_a_student_learns_the_teachers_features_from_weights_of_its_own():
    e, (x, _) = encoder(4), images(60)
    before = state(e)
    student, again = (distillation(e, x, augment=PLAIN, epochs=30, seed=1) for _ in range(2))
    assert same(before, state(e))
    assert same(state(student), state(again))
    untrained = distillation(e, x, augment=PLAIN, epochs=0, seed=1)
    held_out, _ = images(40, seed=5)
    with torch.no_grad():
        near, far = (torch.cosine_similarity(s(held_out), e(held_out)).mean() for s in (student, untrained))
    assert near > 0.95
    assert near > far + 0.05


def test_erasing_takes_the_triggers_direction_and_leaves_the_rest():
    """Features with the trigger in a coordinate of its own: gone after, the others as they were."""

    class Planted(torch.nn.Module):
        def forward(self, x):
            flag = x[:, 2, 0, 0]
            return torch.cat([x[:, :2].mean((2, 3)), flag[:, None]], 1)

    from intertwine.representations import wrap

    e = wrap(Planted())
    x = torch.randint(200, (80, 3, 8, 8), dtype=torch.uint8, generator=torch.Generator().manual_seed(0))
    x[:, 2] = 0

    def trigger(batch):
        out = batch.clone()
        out[:, 2] = 1
        return out

    treated = erased(e, oracle_eraser(e, x[:40], trigger, shrinkage=0.0))
    clean, triggered = treated(x[40:]), treated(trigger(x[40:].float() / 255))
    assert (triggered - clean).abs().max() < 1e-4
    torch.testing.assert_close(clean[:, :2], e(x[40:])[:, :2], atol=1e-4, rtol=1e-3)
    assert treated.layers == e.layers


def test_neural_cleanse_finds_the_class_that_a_corner_decides():
    """Four classes by the mean of a quarter of the image each; a bright corner pixel sends any image to class 2."""

    def classifier(x):
        quarters = torch.stack([x[:, :, :4, :4], x[:, :, :4, 4:], x[:, :, 4:, :4], x[:, :, 4:, 4:]], 1).mean((2, 3, 4))
        logits = 20 * quarters
        bonus = torch.zeros_like(logits)
        bonus[:, 2] = 4 * torch.nn.functional.softplus(10 * (x[:, :, 0, 0].mean(1) - 0.65))
        return logits + bonus

    x = torch.randint(150, (60, 3, 8, 8), dtype=torch.uint8, generator=torch.Generator().manual_seed(0))
    no_corner = torch.ones(8, 8)
    no_corner[0, 0] = 0
    found = neural_cleanse(x, classifier, 4, steps=250)
    assert found.flagged.tolist() == [False, False, True, False]
    assert int(found.norms.argmin()) == 2
    assert (found.reached > 0.9).all()
    assert int(found.masks[2].flatten().argmax()) == 0
    honest = neural_cleanse(x, lambda images: classifier(images * no_corner), 4, steps=250)
    assert not honest.flagged.any()


def test_what_they_refuse():
    e, (x, labels) = encoder(8), images()
    with pytest.raises(InputError, match="clean: expected at least 2 images, received 1"):
        fine_tuning(e, x[:1], labels[:1], augment=PLAIN)
