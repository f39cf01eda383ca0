"""Attribution maps on planted networks whose evidence has a known place or frequency; the scores on planted maps."""

import hashlib
import sys
from math import isnan

import pytest
import torch
from intertwine.probes.attribution import grad_cam, integrated_gradients
from intertwine.probes.attribution_scores import changed_pixels, frequency_energy, trigger_localisation
from intertwine.probes.linear import LinearHead
from intertwine.representations import EncoderSpec, InputError, build_encoder, wrap
from intertwine.training.triggers import Patch, Spectral
from torch import nn

from tests.factories import case, rand, randn32, square

needs_captum = pytest.mark.usefixtures("captum")


@pytest.fixture(scope="module")
def captum():
    return pytest.importorskip("captum")


class Looks(nn.Module):
    """Convolution, tanh, and a sum over the places of ``region`` only. The tanh makes the integrand vary on the way."""

    def __init__(self, region: torch.Tensor) -> None:
        super().__init__()
        self.conv = nn.Conv2d(3, 4, 1)
        self.register_buffer("region", region.float())
        with torch.no_grad():
            self.conv.weight.copy_(randn32(5, 4, 3, 1, 1))
            self.conv.bias.zero_()
        self.widest = 0

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        self.widest = max(self.widest, len(x))
        return (self.conv(x).tanh() * self.region).sum((2, 3))


def looks_at(region: torch.Tensor):
    return wrap(Looks(region), layers={"conv": "conv"}, mean=(0.5,) * 3, std=(0.25,) * 3)


HEAD = LinearHead(torch.tensor([[1.0, -1.0, 0.5, 2.0], [0.3, 1.0, 1.0, -1.0]]), torch.zeros(2))


def plain(features: torch.Tensor) -> torch.Tensor:
    """A head without normalisation: with it, features of one place would depend on those of all others."""
    return features @ HEAD.weight.T


def linear(weight: torch.Tensor):
    """One feature: the inner product of the image with ``weight (3, H, W)``; head: that feature, and its negative."""
    module = nn.Sequential(nn.Flatten(), nn.Linear(weight.numel(), 1, bias=False))
    with torch.no_grad():
        module[1].weight.copy_(weight.reshape(1, -1))
    return wrap(module), lambda f: torch.cat([f, -f], 1)


def state_hash(*modules: nn.Module) -> str:
    """Of everything that a reading could leave changed: values, flags, gradients, modes, hooks."""
    digest = hashlib.sha256()
    for module in modules:
        for name, value in module.state_dict().items():
            digest.update(name.encode() + value.numpy().tobytes())
        for p in module.parameters():
            digest.update(f"{p.requires_grad} {p.grad is None}".encode())
        for m in module.modules():
            hooks = (m._forward_hooks, m._forward_pre_hooks, m._backward_hooks, m._backward_pre_hooks)
            digest.update(f"{m.training} {[len(h) for h in hooks]}".encode())
    return digest.hexdigest()


# --- integrated gradients


@needs_captum
def test_of_a_linear_network_it_is_weight_times_change():
    weight, x, start = randn32(0, 3, 4, 4), rand(1, 5, 3, 4, 4), rand(2, 5, 3, 4, 4)
    encoder, head = linear(weight)
    found = integrated_gradients(encoder, head, x, 1, baselines=start, steps=3)
    torch.testing.assert_close(found, -weight * (x - start))
    found = integrated_gradients(encoder, head, x, 1, baselines=start, steps=3, times_change=False)
    torch.testing.assert_close(found, (-weight).expand(5, -1, -1, -1))


@needs_captum
@pytest.mark.parametrize("head", [HEAD, plain])
def test_it_adds_up_to_the_change_of_the_logit(head):
    encoder = looks_at(square(3, 3))
    x, start = rand(1, 6, 3, 16, 16), rand(2, 6, 3, 16, 16)
    with torch.no_grad():
        expected = (head(encoder(x)) - head(encoder(start)))[:, 1]
    found = integrated_gradients(encoder, head, x, 1, baselines=start, steps=64).sum((1, 2, 3))
    torch.testing.assert_close(found, expected, rtol=1e-3, atol=1e-4)
    assert expected.abs().min() > 1e-3


@needs_captum
def test_it_is_the_integral_by_a_fine_loop():
    encoder = looks_at(square(3, 3))
    x, mean = rand(1, 1, 3, 16, 16), encoder.mean
    total = torch.zeros_like(x)
    for i in range(400):
        at = (mean + (i + 0.5) / 400 * (x - mean)).requires_grad_()
        total += torch.autograd.grad(plain(encoder(at))[0, 0], at)[0]
    found = integrated_gradients(encoder, plain, x, 0, steps=64)
    torch.testing.assert_close(found, (x - mean) * total / 400, rtol=5e-3, atol=1e-4)


@needs_captum
@pytest.mark.parametrize("batch_size", [1, 7, 20])
def test_batches_change_nothing_and_bound_the_memory(batch_size):
    encoder = looks_at(square(3, 3))
    x = rand(1, 9, 3, 16, 16)
    whole = integrated_gradients(encoder, plain, x, 0, steps=10, batch_size=10_000)
    cam = grad_cam(encoder, plain, x, 0, batch_size=10_000)
    encoder.backbone.widest = 0
    torch.testing.assert_close(integrated_gradients(encoder, plain, x, 0, steps=10, batch_size=batch_size), whole)
    torch.testing.assert_close(grad_cam(encoder, plain, x, 0, batch_size=batch_size), cam)
    assert encoder.backbone.widest <= batch_size


@needs_captum
def test_planted_patch():
    """Evidence in the trigger's place: found. Elsewhere: missed. Everywhere: chance."""
    trigger = Patch(16, size=4)
    clean = 0.1 + 0.3 * rand(0, 40, 3, 16, 16)
    triggered = trigger(clean)
    mask = changed_pixels(clean, triggered)
    assert mask.sum((1, 2)).tolist() == [16] * 40
    at, elsewhere, everywhere = (
        trigger_localisation(integrated_gradients(looks_at(region), plain, triggered, 0), mask)
        for region in (mask[0], square(1, 1), torch.ones(16, 16))
    )
    assert at.iou.min() > 0.99
    assert at.energy.min() > 0.99
    assert elsewhere.iou.max() == 0  # its sixteen largest pixels are those of the other square
    assert elsewhere.energy.max() == 0
    noise = integrated_gradients(looks_at(torch.ones(16, 16)), plain, rand(3, 200, 3, 16, 16), 0)
    chance = trigger_localisation(noise, mask[0])
    assert float(chance.iou.mean()) == pytest.approx(float(chance.chance_iou[0]), abs=0.01)
    assert float(chance.energy.mean()) == pytest.approx(16 / 256, abs=0.01)
    assert float(everywhere.energy.mean()) > 0.1  # the patch's own contrast draws attribution


@needs_captum
def test_the_clean_image_as_baseline_localises_by_construction():
    """Whatever the network looks at: there is no change outside. Stated in the docstring, so that nobody takes it for
    a finding."""
    clean = rand(0, 6, 3, 16, 16)
    triggered = Patch(16, size=4)(clean)
    mask = changed_pixels(clean, triggered)
    found = integrated_gradients(looks_at(torch.ones(16, 16)), plain, triggered, 0, baselines=clean)
    assert (trigger_localisation(found, mask).energy == 1).all()
    found = integrated_gradients(looks_at(square(1, 1)), plain, triggered, 0, baselines=clean)
    assert (found == 0).all()


@needs_captum
def test_bytes_are_the_floats_that_they_stand_for():
    encoder = looks_at(square(3, 3))
    pixels = (rand(0, 3, 3, 16, 16) * 255).round().to(torch.uint8)
    for method in (integrated_gradients, grad_cam):
        torch.testing.assert_close(method(encoder, HEAD, pixels, 0), method(encoder, HEAD, pixels.float() / 255, 0))


# --- Grad-CAM


@needs_captum
@pytest.mark.parametrize("layer", ["stem", "layer2", "layer3", None])
def test_grad_cam_is_its_formula(layer):
    encoder = build_encoder(EncoderSpec("resnet8", width=2, image_size=16)).eval()
    head = LinearHead(randn32(1, 3, encoder.dim), torch.zeros(3))
    x = rand(0, 4, 3, 16, 16)
    kept = {}
    module = encoder.backbone.get_submodule(encoder.layer_modules[layer or "layer3"])
    with module.register_forward_hook(lambda _m, _i, out: kept.update(a=out)):
        logits = head(encoder(x))
    (g,) = torch.autograd.grad(logits[:, 2].sum(), kept["a"])
    small = (g.mean((2, 3), keepdim=True) * kept["a"]).sum(1, keepdim=True).clamp(min=0)
    expected = nn.functional.interpolate(small, (16, 16), mode="bilinear")[:, 0].detach()
    found = grad_cam(encoder, head, x, 2, layer=layer)
    torch.testing.assert_close(found, expected, rtol=1e-4, atol=1e-7)
    assert expected.amax((1, 2)).max() > 0


@needs_captum
def test_grad_cam_at_a_tap_that_a_later_layer_overwrites():
    module = nn.Sequential(nn.Conv2d(3, 4, 1), nn.ReLU(inplace=True), nn.AdaptiveAvgPool2d(1), nn.Flatten())
    encoder, x = wrap(module, layers={"conv": "0"}), randn32(0, 2, 3, 5, 5)
    a = module[0](x).detach().requires_grad_()
    (g,) = torch.autograd.grad(plain(a.relu().mean((2, 3)))[:, 0].sum(), a)
    expected = (g.mean((2, 3), keepdim=True) * a).sum(1).clamp(min=0).detach()
    torch.testing.assert_close(grad_cam(encoder, plain, x, 0), expected)


@needs_captum
def test_grad_cam_finds_a_planted_detector():
    """A channel that fires on white only, and votes for the target: found. One that fires on all, the same: chance or
    less."""
    module = nn.Sequential(nn.Conv2d(3, 2, 1), nn.ReLU(), nn.AdaptiveAvgPool2d(1), nn.Flatten())
    with torch.no_grad():
        module[0].weight.copy_(torch.tensor([[1.0], [-1.0]]).view(2, 1, 1, 1).expand(2, 3, 1, 1))
        module[0].bias.copy_(torch.tensor([-2.5, 2.5]))
    encoder, mask = wrap(module, layers={"relu": "1"}), square(10, 10)
    x = 0.5 * rand(0, 8, 3, 16, 16)
    x[:, :, mask] = 1
    bright = trigger_localisation(grad_cam(encoder, lambda f: f, x, 0), mask)
    dark = trigger_localisation(grad_cam(encoder, lambda f: f, x, 1), mask)
    assert bright.iou.tolist() == [1.0] * 8
    assert (bright.energy == 1).all()
    assert dark.iou.max() < dark.chance_iou[0]
    # Nothing speaks against brightness in the map of its opposite: a map of zeros, about which nothing is said.
    against = grad_cam(encoder, lambda f: -f[:, :1], x, 0)
    assert (against == 0).all()
    assert trigger_localisation(against, mask).iou.isnan().all()


# --- both leave no trace


@needs_captum
def test_nothing_is_left_on_encoder_head_and_images():
    for method in (integrated_gradients, grad_cam):
        with case(method):
            encoder = build_encoder(EncoderSpec("resnet8", width=2, image_size=16)).train()
            encoder.backbone.bn1.eval()
            encoder.backbone.conv1.weight.requires_grad_(False)
            encoder.backbone.bn1.weight.grad = torch.ones(2)
            head = nn.Sequential(nn.Dropout(0.5), nn.Linear(encoder.dim, 3)).train()
            with torch.no_grad():
                # Every channel speaks for the class: Grad-CAM's ReLU leaves something on every machine.
                head[1].weight.abs_()
            x, before, stream = rand(0, 4, 3, 16, 16), state_hash(encoder, head), torch.get_rng_state()
            copy = x.clone()
            with torch.no_grad():  # the caller's mode does not matter
                found = method(encoder, head, x, 1)
            assert found.abs().sum() > 0
            assert not found.requires_grad
            assert not x.requires_grad
            assert torch.equal(x, copy)
            assert torch.equal(stream, torch.get_rng_state())
            assert state_hash(encoder, head) == before

            with pytest.raises(InputError, match=r"target: expected a column .* received 3"):
                method(encoder, head, x, 3)
            assert state_hash(encoder, head) == before


@needs_captum
def test_a_listener_to_the_triggers_frequencies_is_recognised_by_its_gradient():
    trigger = Spectral(16)
    clean = 0.3 + 0.4 * rand(0, 6, 3, 16, 16)
    triggered = trigger(clean)
    listener, head = linear(trigger.pattern())
    stranger, _ = linear(trigger.variant(2).pattern())

    def share(encoder, times_change: bool) -> torch.Tensor:
        maps = integrated_gradients(encoder, head, triggered, 0, baselines=clean, times_change=times_change)
        return frequency_energy(maps, trigger.places, trigger.window).share

    assert share(listener, False).min() > 0.999
    assert share(stranger, False).max() < 1e-6
    # The product with the change, itself of these frequencies, has its energy at sums and differences.
    assert share(listener, True).max() < 0.05


# --- bad input


@needs_captum
def test_bad_input():
    for method, change, message in (
        (integrated_gradients, {"images": torch.zeros(0, 3, 16, 16)}, "images"),
        (integrated_gradients, {"images": torch.zeros(3, 16, 16)}, "images"),
        (integrated_gradients, {"images": torch.full((1, 3, 16, 16), float("nan"))}, "finite gradients"),
        (integrated_gradients, {"target": -1}, "target"),
        (integrated_gradients, {"target": 2}, "target: .* received 2"),
        (integrated_gradients, {"steps": 0}, "steps"),
        (integrated_gradients, {"batch_size": 0}, "batch_size"),
        (integrated_gradients, {"baselines": torch.zeros(1, 3, 16, 16)}, "baselines: expected .2, 3"),
        (grad_cam, {"images": torch.full((1, 3, 16, 16), float("nan"))}, "finite gradients"),
        (grad_cam, {"target": 2}, "target: .* received 2"),
        (grad_cam, {"layer": "nonsense"}, "layer: expected one of conv, received nonsense"),
        (grad_cam, {"layer": "features"}, "layer: expected one of conv, received features"),
    ):
        with case(message):
            good = {"encoder": looks_at(square(3, 3)), "head": HEAD, "images": rand(0, 2, 3, 16, 16), "target": 0}
            with pytest.raises(InputError, match=message):
                method(**(good | change))


@needs_captum
def test_layers_without_places():
    module = nn.Sequential(nn.Flatten(), nn.Linear(12, 4))
    x = rand(0, 2, 3, 2, 2)
    with pytest.raises(InputError, match=r"layer: .* no inner layers"):
        grad_cam(wrap(module), plain, x, 0)
    with pytest.raises(InputError, match=r"layer: expected one with an output \(n, c, h, w\), received flat"):
        grad_cam(wrap(module, layers={"flat": "0"}), plain, x, 0)


def test_without_captum_the_message_says_how_to_get_it(monkeypatch):
    monkeypatch.setitem(sys.modules, "captum.attr", None)
    with pytest.raises(ImportError, match="pip install captum"):
        integrated_gradients(looks_at(square(3, 3)), HEAD, rand(0, 1, 3, 16, 16), 0)
    assert not isnan(float(trigger_localisation(torch.ones(1, 4, 4), square(0, 0, 2, side=4)).iou))
