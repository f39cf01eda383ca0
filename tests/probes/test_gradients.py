"""Gradients of blocks against a loop over images, their layers and their inner products."""

import copy

import pytest
import torch
from intertwine.probes import (
    block_gradients,
    gradient_blocks,
    gradients,
    gram_matrices,
    layer_weights,
    task_loss,
)
from intertwine.probes.gradients import WHOLE, Task, alignment_grams
from intertwine.probes.linear import LinearHead
from intertwine.representations import EncoderSpec, InputError, build_encoder, wrap
from torch import nn
from torch.nn.functional import cross_entropy

from tests.factories import case, images, randn
from tests.probes.planted_pairs import gram


def a_head(d: int = 32, classes: int = 3) -> LinearHead:
    return LinearHead(randn(5, classes, d) * 3, randn(6, classes))


@pytest.mark.parametrize("transform", [None, lambda x: 1 - x])
def test_block_gradients_are_means_of_single_images_gradients(encoder, transform):
    x, labels = images(13), torch.arange(13) % 3
    blocks = [torch.tensor([4, 0, 9]), torch.tensor([1, 2, 3, 5]), torch.tensor([12]), torch.tensor([6, 7, 8, 10, 11])]
    got = block_gradients(encoder, task_loss(a_head(), labels), blocks, x, transform=transform)
    reference = copy.deepcopy(encoder).eval()
    named = dict(reference.backbone.named_parameters())
    for row, block in enumerate(blocks):
        total = {name: torch.zeros_like(p) for name, p in named.items()}
        for i in block.tolist():
            reference.zero_grad()
            image = x[i : i + 1].float() / 255
            features = reference(transform(image) if transform else image)
            unit = features / features.square().sum().sqrt()
            logits = unit @ a_head().weight.float().T + a_head().bias.float()
            (-logits.log_softmax(1)[0, labels[i]]).backward()
            for name, p in named.items():
                total[name] += p.grad / len(block)
        for layer, names in layer_weights(encoder).items():
            expected = torch.cat([total[name].flatten() for name in names])
            torch.testing.assert_close(got[layer][row], expected, atol=1e-6, rtol=1e-4)
            assert expected.norm() > 0
    assert all(g.dtype == torch.float32 and len(g) == 4 for g in got.values())


@pytest.mark.parametrize("n", [70, 33])
def test_large_blocks_go_through_a_few_images_at_a_time(encoder, n, monkeypatch):
    """The mean over a block, not over its pieces, whose last is shorter; and no more images at once than agreed."""
    loss, blocks = task_loss(a_head(), torch.arange(n) % 3), [torch.randperm(n), torch.arange(20)]
    got = block_gradients(encoder, loss, blocks, images(n))
    seen = []
    encoder.register_forward_pre_hook(lambda _, x: seen.append(len(x[0])))
    monkeypatch.setattr(gradients, "AT_ONCE", n)
    expected = block_gradients(encoder, loss, blocks, images(n))
    assert seen == [n, 20]
    for layer, g in expected.items():
        torch.testing.assert_close(got[layer], g, atol=1e-6, rtol=1e-4)
    seen.clear()
    monkeypatch.undo()
    block_gradients(encoder, loss, blocks, images(n))
    assert max(seen) == 32


def reference_grams(encoder, losses, blocks, x, trigger):
    g, h = (
        block_gradients(encoder, losses[0], blocks, x),
        block_gradients(encoder, losses[1], blocks, x, transform=trigger),
    )
    return gram_matrices(g, h)


@pytest.mark.parametrize("memory", [1, 60_000, 10**9])
def test_grams_in_parts_are_the_grams(encoder, memory):
    """However little memory there is: layers that are cut in two are put together again."""
    x, blocks = images(20), gradient_blocks(20, blocks=5)
    losses = task_loss(a_head(), torch.arange(20) % 3), task_loss(a_head(), torch.zeros(20, dtype=torch.int64))
    triggers = [lambda x: 1 - x, None, lambda x: x.flip(3)]
    others = [Task(losses[1], blocks, trigger) for trigger in triggers]
    got = alignment_grams(encoder, [Task(losses[0], blocks)], others, x, memory=memory)
    assert len(got) == 3
    for found, trigger in zip(got, triggers, strict=True):
        expected = reference_grams(encoder, losses, blocks, x, trigger)
        assert list(found) == list(expected)
        for layer, m in expected.items():
            torch.testing.assert_close(found[layer], m, rtol=1e-6, atol=1e-9 * float(m.abs().max()))


def test_parts_hold_every_weight_once_and_no_more_than_fits(encoder):
    layers = layer_weights(encoder)
    for most in (1, 300, 5000, 10**9):
        parts = gradients._parts(encoder, layers, most)
        names = [name for part in parts for names in part.values() for name in names]
        assert names == [name for names in layers.values() for name in names]
        for part in parts:
            chosen = [encoder.backbone.get_parameter(name) for names in part.values() for name in names]
            assert len(chosen) == 1 or sum(p.numel() for p in chosen) <= most
    assert len(parts) == 1


def test_no_weights_no_grams():
    encoder = wrap(nn.Flatten())
    task = Task(lambda f, i: f.sum(), gradient_blocks(16))
    assert alignment_grams(encoder, [task], [task], images(16)) == [{}]
    with pytest.raises(InputError, match=r"blocks: expected the same number for all tasks, received \[4, 5\]"):
        alignment_grams(encoder, [task], [task._replace(blocks=gradient_blocks(20, blocks=5))], images(20))


def test_defect_a_frozen_backbone_that_was_not(encoder):
    """Gradients are read and nothing else: weights, .grad, requires_grad, modes and BN statistics stay."""
    encoder.backbone.layer2.eval()
    frozen = encoder.backbone.layer1[0].conv1.weight.requires_grad_(False)
    encoder.backbone.conv1.weight.grad = torch.full_like(encoder.backbone.conv1.weight, 7.0)
    state = {name: value.clone() for name, value in encoder.state_dict().items()}
    flags = {name: p.requires_grad for name, p in encoder.named_parameters()}
    modes = {name: m.training for name, m in encoder.named_modules()}
    got = block_gradients(encoder, task_loss(a_head(), torch.arange(12) % 3), [torch.arange(12)], images(12))
    assert got["layer1"].abs().sum() > 0
    assert all(torch.equal(value, state[name]) for name, value in encoder.state_dict().items())
    assert {name: p.requires_grad for name, p in encoder.named_parameters()} == flags
    assert not frozen.requires_grad
    assert {name: m.training for name, m in encoder.named_modules()} == modes
    grads = {name: p.grad for name, p in encoder.named_parameters() if p.grad is not None}
    assert list(grads) == ["backbone.conv1.weight"]
    assert bool((grads["backbone.conv1.weight"] == 7).all())


def test_a_frozen_weight_has_a_gradient_too(encoder):
    loss, blocks = task_loss(a_head(), torch.arange(12) % 3), [torch.arange(12)]
    expected = block_gradients(encoder, loss, blocks, images(12))
    for p in encoder.parameters():
        p.requires_grad_(False)
    with torch.no_grad():
        got = block_gradients(encoder, loss, blocks, images(12))
    for layer, g in expected.items():
        assert torch.equal(got[layer], g)
    assert not any(p.requires_grad for p in encoder.parameters())


def test_everything_is_put_back_after_an_exception(encoder):
    def fail(features, index):
        raise ArithmeticError("loss")

    encoder.backbone.conv1.weight.requires_grad_(False)
    with pytest.raises(ArithmeticError, match="loss"):
        block_gradients(encoder, fail, [torch.arange(4)], images(4))
    assert not encoder.backbone.conv1.weight.requires_grad
    assert encoder.backbone.layer1[0].conv1.weight.requires_grad
    assert all(m.training for m in encoder.modules())


def test_uint8_and_float_images_give_the_same_gradients(encoder):
    loss, blocks = task_loss(a_head(), torch.arange(8) % 3), [torch.arange(4), torch.arange(4, 8)]
    by_float = block_gradients(encoder, loss, blocks, images(8).float() / 255)
    for layer, g in block_gradients(encoder, loss, blocks, images(8)).items():
        assert torch.equal(g, by_float[layer])


def test_weights_that_the_features_do_not_pass_through_have_no_gradient():
    """A foreign model may carry an unused head: its gradient is zero."""

    class WithHead(nn.Module):
        def __init__(self):
            super().__init__()
            self.body = nn.Sequential(nn.Flatten(), nn.Linear(192, 5))
            self.head = nn.Linear(5, 10)

        def forward(self, x):
            return self.body(x)

    encoder = wrap(WithHead(), layers={"body": "body"})
    got = block_gradients(encoder, task_loss(a_head(5), torch.arange(8) % 3), [torch.arange(8)], images(8))
    assert got["body"].abs().sum() > 0
    assert got["features"].abs().sum() == 0


def test_task_loss_is_the_mean_cross_entropy_of_the_block():
    labels, features = torch.tensor([2, 0, 1, 1, 2]), randn(0, 3, 32)
    index = torch.tensor([4, 1, 2])
    loss = task_loss(a_head(), labels)(features, index)
    rows = a_head()(features).log_softmax(1)
    expected = -(rows[0, 2] + rows[1, 0] + rows[2, 1]) / 3
    assert float(loss) == pytest.approx(float(expected))
    assert float(loss) == pytest.approx(float(cross_entropy(a_head()(features), labels[index])))


# --- layer_weights


@pytest.mark.parametrize("arch", ["resnet8", "resnet18"])
def test_every_weight_is_in_one_layer_and_no_affine_is(arch):
    backbone = build_encoder(EncoderSpec(arch, 4, 8)).backbone
    groups = layer_weights(build_encoder(EncoderSpec(arch, 4, 8)))
    listed = [name for names in groups.values() for name in names]
    kernels = [f"{name}.weight" for name, m in backbone.named_modules() if isinstance(m, nn.Conv2d | nn.Linear)]
    assert sorted(listed) == sorted(kernels)
    assert len(set(listed)) == len(listed)
    assert groups["stem"] == ["conv1.weight"]
    for layer, names in groups.items():
        assert layer == "stem" or all(name.startswith(f"{layer}.") for name in names)
    assert "features" not in groups  # nothing but pooling after the last layer


def test_weights_after_the_last_tap_belong_to_the_features():
    encoder = wrap(
        nn.Sequential(
            nn.Conv2d(3, 4, 3), nn.BatchNorm2d(4), nn.Sequential(nn.Conv2d(4, 4, 3), nn.ReLU()), nn.Flatten(),
            nn.Linear(64, 5), nn.LayerNorm(5),
        ),
        layers={"first": "1", "second": "2"},
    )  # fmt: skip
    assert layer_weights(encoder) == {"first": ["0.weight"], "second": ["2.0.weight"], "features": ["4.weight"]}
    assert layer_weights(wrap(encoder.backbone)) == {"features": ["0.weight", "2.0.weight", "4.weight"]}


def test_layers_without_weights_are_left_out():
    encoder = wrap(nn.Sequential(nn.Conv2d(3, 4, 3), nn.ReLU(), nn.Flatten()), layers={"conv": "0", "relu": "1"})
    assert layer_weights(encoder) == {"conv": ["0.weight"]}
    assert layer_weights(wrap(nn.Flatten())) == {}


def test_the_affine_of_a_normalisation_is_left_out_whatever_its_shape():
    """LayerNorm over (c, h, w) has an affine of three dimensions: still no kernel."""
    encoder = wrap(nn.Sequential(nn.Conv2d(3, 4, 3), nn.LayerNorm([4, 6, 6]), nn.Flatten(), nn.Linear(144, 5)))
    assert layer_weights(encoder) == {"features": ["0.weight", "3.weight"]}


# --- gradient_blocks


@pytest.mark.parametrize(
    ("n", "blocks", "expected"), [(16, 24, 4), (19, 24, 4), (95, 24, 23), (500, 24, 24), (50, 5, 5)]
)
def test_blocks_are_disjoint_complete_and_of_nearly_equal_size(n, blocks, expected):
    parts = gradient_blocks(n, blocks=blocks)
    sizes = [len(part) for part in parts]
    assert len(parts) == expected
    assert min(sizes) >= 4
    assert max(sizes) - min(sizes) <= 1
    assert sorted(torch.cat(parts).tolist()) == list(range(n))
    assert torch.cat(parts).tolist() != list(range(n))


def test_blocks_are_seeded():
    first, again, other = (torch.cat(gradient_blocks(100, seed=seed)) for seed in (1, 1, 2))
    assert torch.equal(first, again)
    assert not torch.equal(first, other)


def test_at_most_so_many_images_are_drawn():
    parts = gradient_blocks(1000, most=100)
    index = torch.cat(parts)
    assert len(parts) == 24
    assert len(index) == len(index.unique()) == 100
    assert index.max() > 200  # drawn from all of them
    assert torch.equal(torch.cat(gradient_blocks(100, most=500)), torch.cat(gradient_blocks(100)))
    with pytest.raises(InputError, match="most: expected at least 16 images for gradient alignment, received 15"):
        gradient_blocks(1000, most=15)


def test_too_few_images_for_blocks():
    with pytest.raises(InputError, match="images: expected at least 16 for gradient alignment, received 15"):
        gradient_blocks(15)


def test_too_few_blocks_are_not_blamed_on_the_images():
    for blocks in (3, 0):
        with case(blocks), pytest.raises(InputError, match="blocks"):
            gradient_blocks(100, blocks=blocks)


# --- gram_matrices


def test_gram_matrices_of_layers_and_of_all_weights():
    g = {"a": randn(0, 4, 3).float(), "b": randn(1, 4, 5).float()}
    h = {"a": randn(2, 4, 3).float(), "b": randn(3, 4, 5).float()}
    grams = gram_matrices(g, h)
    assert set(grams) == {"a", "b", WHOLE}
    for layer in ("a", "b"):
        rows = [*g[layer].double(), *h[layer].double()]
        for i, u in enumerate(rows):
            for j, v in enumerate(rows):
                assert float(grams[layer][i, j]) == pytest.approx(float((u * v).sum()))
    torch.testing.assert_close(grams[WHOLE], grams["a"] + grams["b"])
    whole = [torch.cat([x["a"], x["b"]], 1).double() for x in (g, h)]
    torch.testing.assert_close(grams[WHOLE], gram(*whole))


def test_a_large_layer_goes_through_in_pieces():
    width = (1 << 18) + 777
    g, h = {"a": torch.ones(4, width)}, {"a": torch.full((4, width), -2.0)}
    matrix = gram_matrices(g, h)["a"]
    assert matrix.dtype == torch.float64
    assert matrix[0, 0] == width
    assert matrix[0, 5] == -2 * width
    assert matrix[5, 5] == 4 * width
