"""TracIn against a loop over images and snapshots; the projection against its own mean and variance."""

import copy
from math import sqrt

import pytest
import torch
from intertwine.probes.gradients import layer_weights
from intertwine.probes.influence import influence, self_influence
from intertwine.probes.linear import LinearHead
from intertwine.representations import EncoderSpec, InputError, build_encoder, wrap
from torch import nn
from torch.nn.functional import cross_entropy

from tests.factories import case, rand

RATES = [0.1, 0.03]


def head_of(seed: int, dim: int, classes: int = 3) -> LinearHead:
    return LinearHead(rand(seed, classes, dim) * 4 - 2, rand(seed + 1, classes))


@pytest.fixture(scope="module")
def run():
    """Two snapshots of a small encoder with BN statistics of its own, their heads, train and test images."""
    encoders = [build_encoder(EncoderSpec("resnet8", width=2, image_size=8), seed=seed) for seed in (0, 1)]
    for encoder in encoders:
        encoder.train()
        with torch.no_grad():
            encoder(rand(9, 16, 3, 8, 8))
    heads = [head_of(20, encoders[0].dim), head_of(30, encoders[0].dim)]
    train, test = (rand(1, 7, 3, 8, 8), torch.arange(7) % 3), (rand(2, 5, 3, 8, 8), torch.arange(5) % 2)
    return encoders, heads, train, test


def gradient(encoder, head, image, label, names) -> torch.Tensor:
    """By plain autograd, one image at a time, on a copy in evaluation mode."""
    encoder = copy.deepcopy(encoder).eval()
    loss = cross_entropy(head(encoder(image.unsqueeze(0))), label.unsqueeze(0))
    found = torch.autograd.grad(loss, [encoder.backbone.get_parameter(name) for name in names])
    return torch.cat([g.flatten() for g in found]).double()


def by_loops(encoders, heads, train, test, rates, names) -> torch.Tensor:
    out = torch.zeros(len(test[0]), len(train[0]), dtype=torch.float64)
    for encoder, head, rate in zip(encoders, heads, rates, strict=True):
        ours = [gradient(encoder, head, image, label, names) for image, label in zip(*test, strict=True)]
        others = [gradient(encoder, head, image, label, names) for image, label in zip(*train, strict=True)]
        for i, g in enumerate(ours):
            for j, h in enumerate(others):
                out[i, j] += rate * float(g @ h)
    return out


def all_weights(encoder) -> list[str]:
    return [name for names in layer_weights(encoder).values() for name in names]


def state(encoder) -> tuple:
    """Everything that a reading could leave changed."""
    tensors = {name: value.clone() for name, value in encoder.state_dict().items()}
    flags = [(p.requires_grad, p.grad, id(p)) for p in encoder.parameters()]
    modes = [(m.training, len(m._forward_hooks), len(m._backward_hooks)) for m in encoder.modules()]
    return tensors, flags, modes


def assert_same_state(before: tuple, after: tuple) -> None:
    assert before[1:] == after[1:]
    assert before[0].keys() == after[0].keys()
    assert all(torch.equal(value, after[0][name]) for name, value in before[0].items())


@pytest.mark.parametrize("chunk", [1, 3, 16])
def test_loops(run, chunk):
    encoders, heads, train, test = run
    expected = by_loops(*run, RATES, all_weights(encoders[0]))
    found = influence(encoders, heads, *train, *test, rates=RATES, chunk=chunk)
    assert found.dtype == torch.float64
    torch.testing.assert_close(found, expected, rtol=1e-4, atol=1e-5 * float(expected.abs().max()))
    assert (expected < 0).any()
    assert (expected > 0).any()


def test_chosen_weights_only(run):
    encoders, heads, train, test = run
    names = ["layer3.0.conv2.weight", "layer1.0.bn1.bias"]
    found = influence(encoders, heads, *train, *test, rates=RATES, weights=names)
    expected = by_loops(*run, RATES, names)
    torch.testing.assert_close(found, expected, rtol=1e-4, atol=1e-5 * float(expected.abs().max()))


def test_it_is_the_loss_that_a_step_takes_off():
    """One step of plain gradient descent on z' lowers the loss of z by η·influence, to first order."""
    encoder = wrap(nn.Sequential(nn.Flatten(), nn.Linear(12, 6), nn.Tanh())).double()
    head = nn.Linear(6, 3).double()
    images, labels = rand(0, 2, 3, 2, 2).double(), torch.tensor([0, 2])
    expected = influence([encoder], [head], images[1:], labels[1:], images[:1], labels[:1], weights=["1.weight"])

    def loss(i: int, model: nn.Module) -> torch.Tensor:
        return cross_entropy(head(model(images[i : i + 1])), labels[i : i + 1])

    rate, stepped = 1e-5, copy.deepcopy(encoder)
    weight = stepped.backbone[1].weight
    (g,) = torch.autograd.grad(loss(1, stepped), [weight])
    with torch.no_grad():
        weight -= rate * g
    with torch.no_grad():
        gain = float(loss(0, encoder) - loss(0, stepped))
    assert gain / rate == pytest.approx(float(expected), rel=1e-3)


def test_rates_weigh_and_default_to_one(run):
    encoders, heads, train, test = run
    single = [influence([e], [h], *train, *test) for e, h in zip(encoders, heads, strict=True)]
    torch.testing.assert_close(influence(encoders, heads, *train, *test), single[0] + single[1])
    torch.testing.assert_close(
        influence(encoders, heads, *train, *test, rates=[2.0, 0.5]), 2 * single[0] + 0.5 * single[1]
    )


def test_self_influence_is_the_diagonal(run):
    encoders, heads, train, _ = run
    found = self_influence(encoders, heads, *train, rates=RATES, chunk=3)
    expected = influence(encoders, heads, *train, *train, rates=RATES).diagonal()
    torch.testing.assert_close(found, expected, rtol=1e-5, atol=0)


def test_a_mislabelled_image_stands_out_and_opposes():
    """Two classes, one colour each, and one image with the other label, under a head that knows the colours."""
    encoder = wrap(nn.Sequential(nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(3, 3, bias=False)))
    with torch.no_grad():
        encoder.backbone[2].weight.copy_(torch.eye(3))
    head = nn.Linear(3, 2, bias=False)
    with torch.no_grad():
        head.weight.copy_(torch.tensor([[5.0, 0.0, 0.0], [0.0, 5.0, 0.0]]))
    true = torch.arange(10) % 2
    images = 0.1 * rand(0, 10, 3, 4, 4)
    images[torch.arange(10), true] += 0.8
    labels = true.clone()
    labels[4] = 1
    assert int(self_influence([encoder], [head], images, labels).argmax()) == 4
    on_class_0 = influence([encoder], [head], images, labels, images[:1], labels[:1])[0]
    assert int(on_class_0.argmin()) == 4
    assert on_class_0[4] < 0
    assert (on_class_0[[0, 2, 6, 8]] > 0).all()


# --- projection


@pytest.mark.parametrize("projection", [4, 32])
def test_projection_is_unbiased_with_the_stated_variance(projection):
    encoder, head = wrap(nn.Sequential(nn.Flatten(), nn.Linear(12, 6), nn.Tanh(), nn.Linear(6, 4))), head_of(3, 4)
    images, labels = rand(4, 4, 3, 2, 2), torch.tensor([0, 1, 2, 0])
    names = ["1.weight", "3.weight"]
    one = ([encoder], [head], images[:2], labels[:2], images[2:], labels[2:])
    found = torch.stack([influence(*one, projection=projection, seed=seed) for seed in range(200)])
    gradients = [gradient(encoder, head, image, label, names) for image, label in zip(images, labels, strict=True)]
    for i, g in enumerate(gradients[2:]):
        for j, h in enumerate(gradients[:2]):
            sd = sqrt(float(g @ g * (h @ h) + (g @ h) ** 2 - 2 * (g**2 * h**2).sum()) / projection)
            assert float(found[:, i, j].mean()) == pytest.approx(float(g @ h), abs=4 * sd / sqrt(200))
            assert float(found[:, i, j].std()) == pytest.approx(sd, rel=0.3)


def test_projection_converges(run):
    encoders, heads, train, test = run
    exact = influence(encoders, heads, *train, *test, rates=RATES)
    scale = sqrt(
        float(self_influence(encoders, heads, *train).mean()) * float(self_influence(encoders, heads, *test).mean())
    )
    errors = [
        float((influence(encoders, heads, *train, *test, rates=RATES, projection=k) - exact).square().mean().sqrt())
        for k in (32, 32 * 64)
    ]
    assert errors[1] < errors[0] / 4  # √64 = 8 in the mean
    assert errors[1] < 0.05 * scale


def test_projection_depends_on_the_seed_alone(run):
    encoders, heads, train, test = run
    first = influence(encoders, heads, *train, *test, projection=8, seed=3)
    torch.rand(5)
    again = influence(encoders, heads, *train, *test, projection=8, seed=3, chunk=2)
    torch.testing.assert_close(again, first, rtol=1e-4, atol=1e-5 * float(first.abs().max()))
    assert not torch.allclose(influence(encoders, heads, *train, *test, projection=8, seed=4), first)


# --- what it leaves behind, and bad input


def test_nothing_is_left_on_the_encoder(run):
    encoders, _, train, test = run
    encoder = copy.deepcopy(encoders[0]).train()
    encoder.backbone.bn1.eval()
    encoder.backbone.conv1.weight.requires_grad_(False)
    head = nn.Sequential(nn.Dropout(0.5), nn.Linear(encoder.dim, 3)).train()
    before, head_before, stream = state(encoder), state(head), torch.get_rng_state()
    result = influence([encoder], [head], *train, *test, projection=4)
    assert not result.requires_grad
    assert_same_state(before, state(encoder))
    assert_same_state(head_before, state(head))
    assert torch.equal(stream, torch.get_rng_state())
    with pytest.raises(InputError, match="head"):
        influence([encoder], [head], train[0], train[1] + 3, *test)
    assert_same_state(before, state(encoder))


def test_a_flat_loss_has_no_influence_and_unused_weights_count_as_zero(run):
    encoders, _, train, test = run
    blind = LinearHead(torch.zeros(3, encoders[0].dim), torch.zeros(3))
    assert (influence(encoders[:1], [blind], *train, *test) == 0).all()
    module = nn.Sequential(nn.Flatten(), nn.Linear(192, 4))
    module[1].register_module("unused", nn.Linear(4, 4))
    encoder, head = wrap(module), head_of(3, 4)
    used = influence([encoder], [head], *train, *test, weights=["1.weight"])
    torch.testing.assert_close(influence([encoder], [head], *train, *test), used)


def test_bytes_are_the_floats_that_they_stand_for(run):
    encoders, heads, train, test = run
    pixels = (train[0] * 255).round().to(torch.uint8)
    torch.testing.assert_close(
        influence(encoders, heads, pixels, train[1], *test),
        influence(encoders, heads, pixels.float() / 255, train[1], *test),
    )


def test_bad_input(run):
    for change, message in (
        ({"encoders": []}, "encoders: expected at least one"),
        ({"heads": []}, "heads: expected one for each of 2"),
        ({"rates": [0.1]}, "rates: expected a positive number for each of 2"),
        ({"rates": [0.1, float("nan")]}, "rates"),
        ({"rates": [0.1, 0.0]}, "rates"),
        ({"chunk": 0}, "chunk"),
        ({"projection": 0}, "projection"),
        ({"projection": 2.5}, "projection"),
        ({"weights": []}, "weights"),
        ({"weights": "conv1.weight"}, "weights"),
        ({"weights": ["conv1.weight", "nonsense"]}, "weights: .* received nonsense"),
        ({"train_images": torch.zeros(0, 3, 8, 8), "train_labels": torch.zeros(0, dtype=torch.int64)}, "train_images"),
        ({"train_labels": torch.zeros(3, dtype=torch.int64)}, r"train_labels: .* \(7,\), received .* \(3,\)"),
        ({"test_labels": torch.zeros(5)}, "test_labels: .* received torch.float32"),
        ({"test_labels": torch.tensor([0, 1, -100, 0, 1])}, "test_labels: .* least -100"),
        ({"test_labels": torch.tensor([0, 1, 3, 0, 1])}, "head: expected logits .* up to 3"),
        ({"test_images": torch.full((5, 3, 8, 8), float("nan"))}, "finite gradients"),
    ):
        with case(message):
            encoders, heads, train, test = run
            good = {
                "encoders": encoders,
                "heads": heads,
                "train_images": train[0],
                "train_labels": train[1],
                "test_images": test[0],
                "test_labels": test[1],
            }
            with pytest.raises(InputError, match=message):
                influence(**(good | change))
