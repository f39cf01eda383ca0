"""Mitigations on planted encoders and on trained runs: what they take away, and what they must leave alone."""

import pytest
import torch
from intertwine.analysis.defences import (
    Detection,
    abl_unlearning,
    blurred,
    estimated_eraser,
    luminance_only,
    oracle_eraser,
)
from intertwine.analysis.defences.methods import anp, clp, distillation, fine_pruning, fine_tuning, nad
from intertwine.analysis.defences.methods import i_bau as ibau
from intertwine.analysis.defences.methods import trigger_erasure as erased
from intertwine.representations import build_encoder, wrap
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


@pytest.mark.parametrize("name", ["fine-tuning", "nad", "i-bau", "abl"])
def test_a_planted_backdoor_goes_and_the_classes_stay(backdoored, name):
    b, before = backdoored, state(backdoored.encoder)
    treat = {
        "fine-tuning": lambda: fine_tuning(b.encoder, b.clean, b.clean_labels, augment=PLAIN),
        "nad": lambda: nad(b.encoder, b.clean, b.clean_labels, augment=PLAIN, epochs=20),
        "i-bau": lambda: ibau(b.encoder, b.clean, b.clean_labels, rounds=15),
        "abl": lambda: abl_unlearning(b.encoder, b.poisons, b.clean, b.clean_labels, augment=PLAIN, epochs=3),
    }[name]
    treated = treat()
    acc, asr = b.rates(treated)
    assert asr < 0.1
    assert acc > 0.95
    assert same(before, state(b.encoder)), "the encoder itself stays"
    assert all(p.grad is None for p in b.encoder.parameters())
    assert same(state(treated), state(treat())), "seeded"


def test_unlearning_other_images_leaves_the_backdoor(backdoored):
    b = backdoored
    treated = abl_unlearning(b.encoder, b.clean[:8], b.clean, b.clean_labels, augment=PLAIN, epochs=3)
    assert b.rates(treated)[1] > 0.9


def test_anp_cuts_scales_and_nothing_else(backdoored):
    b = backdoored
    before = state(b.encoder)
    pruned = anp(b.encoder, b.clean, b.clean_labels, steps=200)
    acc, asr = b.rates(pruned)
    assert asr < 0.9, "the evaluators are fitted anew, so that not all of it goes"
    assert acc > 0.9
    after = state(pruned)
    changed = {name for name in after if not torch.equal(after[name], before[name])}
    norms = {n for n, m in pruned.named_modules() if isinstance(m, torch.nn.BatchNorm2d)}
    assert changed
    assert changed <= {f"{name}.weight" for name in norms}
    for name in changed:
        moved = after[name] != before[name]
        assert not after[name][moved].any()
        assert not moved.all()
    assert same(before, state(b.encoder))


def test_anp_stops_where_acc_falls(backdoored):
    b = backdoored
    careful = anp(b.encoder, b.clean, b.clean_labels, steps=200, drop=-1.0)
    assert same(state(careful), state(b.encoder)), "no fall is allowed: every step is taken back"


def test_the_hypergradient_by_hand():
    """Risk ½aδ² + bδ over (a, b): the ascent step from δ is δ + r(aδ + b); with k products of its Jacobian 1 + ra the
    derivative of ½(L(δ) + L(0)) through δ is the geometric series."""
    from intertwine.analysis.defences.methods.i_bau import _hypergradient

    a = torch.tensor(-0.5, requires_grad=True)
    b = torch.tensor(2.0, requires_grad=True)
    delta, rate, rounds = torch.tensor(0.3), 0.1, 4

    def risk(d, index):
        return 0.5 * a * d**2 + b * d

    found = _hypergradient(risk, delta, torch.tensor([0]), [a, b], rate, rounds)
    by_delta = 0.5 * (a.item() * 0.3 + b.item())
    series = sum((1 + rate * a.item()) ** k for k in range(rounds + 1)) * by_delta
    assert float(found[0]) == pytest.approx(0.5 * 0.5 * 0.3**2 + rate * 0.3 * series, rel=1e-5)
    assert float(found[1]) == pytest.approx(0.5 * 0.3 + rate * series, rel=1e-5)


def test_attention_is_where_activations_are():
    from intertwine.analysis.defences.methods.nad import attention

    maps = torch.zeros(2, 3, 2, 2)
    maps[0, :, 0, 1] = torch.tensor([1.0, -2.0, 2.0])
    maps[1, 0] = 5.0
    found = attention(maps)
    torch.testing.assert_close(found[0], torch.tensor([0.0, 1.0, 0.0, 0.0]))
    torch.testing.assert_close(found[1], torch.full((4,), 0.5))


def test_an_estimated_eraser_takes_what_tells_the_flagged_of_the_most_suspicious_class():
    g = torch.Generator().manual_seed(0)
    x, labels = torch.randn(400, 6, generator=g), torch.arange(400) % 2
    hit = (labels == 1) & (torch.arange(400) % 4 == 1)
    x[hit, 2] += 8
    flagged = hit | ((labels == 0) & (torch.arange(400) < 20))  # the other class's flags are not what counts
    found = Detection(torch.where(hit, 9.0, 0.0).double() + x[:, 0].double() / 100, flagged)
    eraser = estimated_eraser(x, labels, found)
    after = eraser(x)
    assert abs(float(after[hit, 2].mean() - after[(labels == 1) & ~hit, 2].mean())) < 1.0
    torch.testing.assert_close(after[:, 4], x[:, 4], atol=0.3, rtol=0)
    with pytest.raises(InputError, match="found: expected some images of the most suspicious class to be flagged"):
        estimated_eraser(x, labels, Detection(found.scores, torch.zeros_like(flagged)))


def test_what_they_refuse():
    e, (x, labels) = encoder(8), images()
    with pytest.raises(InputError, match="clean: expected at least 2 images, received 1"):
        fine_tuning(e, x[:1], labels[:1], augment=PLAIN)
    with pytest.raises(InputError, match="isolated: expected at least one image, received none"):
        abl_unlearning(e, x[:0], x, labels, augment=PLAIN)
    flat = wrap(torch.nn.Sequential(torch.nn.Flatten(), torch.nn.Linear(3 * 16 * 16, 4)), layers={})
    with pytest.raises(InputError, match="encoder: expected batch normalisation in it, received none"):
        anp(flat, x, labels)
