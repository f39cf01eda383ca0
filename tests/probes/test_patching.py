"""Patching: what is replaced, on every kind of activation, and what is left as it was."""

import pytest
import torch
from intertwine.probes.patching import activations, cuts, patch, replacing, run_from
from intertwine.representations import InputError, capture, wrap
from intertwine.representations.encoders import FEATURES
from torch import nn
from torchvision.models import VisionTransformer

from tests.factories import hooks, images, rotation, small_encoder


class Block(nn.Module):
    def __init__(self, d: int):
        super().__init__()
        self.norm, self.attention = nn.LayerNorm(d), nn.MultiheadAttention(d, 3, batch_first=True)
        self.mlp = nn.Sequential(nn.LayerNorm(d), nn.Linear(d, 24), nn.GELU(), nn.Linear(24, d))

    def forward(self, x):
        y = self.norm(x)
        x = x + self.attention(y, y, y, need_weights=False)[0]
        return x + self.mlp(x)


class Transformer(nn.Module):
    """A small ViT: patches, a class token, two blocks."""

    def __init__(self, d: int = 12):
        super().__init__()
        self.patches = nn.Conv2d(3, d, 4, 4)
        self.token = nn.Parameter(torch.randn(1, 1, d))
        self.first, self.second = Block(d), Block(d)

    def forward(self, x):
        x = self.patches(x).flatten(2).mT
        x = torch.cat([self.token.expand(len(x), -1, -1), x], 1)
        return self.second(self.first(x))[:, 0]


def transformer():
    torch.manual_seed(0)
    # "inside" is inside a residual connection.
    return wrap(Transformer(), layers={"patches": "patches", "first": "first", "inside": "second.mlp.1"})


def width(encoder, layer):
    shape = activations(encoder, images(1), [layer])[layer].shape
    return shape[2] if len(shape) == 3 else shape[1]


def torchvision_vit():
    torch.manual_seed(0)
    vit = VisionTransformer(image_size=8, patch_size=4, num_layers=2, num_heads=2, hidden_dim=12, mlp_dim=24)
    vit.heads = nn.Identity()
    block = "encoder.layers.encoder_layer_1"
    return wrap(
        vit, layers={"patches": "conv_proj", "first": "encoder.layers.encoder_layer_0", "inside": f"{block}.mlp"}
    )


@pytest.fixture(params=[small_encoder, transformer, torchvision_vit])
def encoder(request):
    return request.param().eval()


def test_a_patch_with_itself_changes_nothing(encoder):
    x = images(5)
    own = capture(encoder, x, layers=[FEATURES])[FEATURES]
    for layer in encoder.layers:
        d = width(encoder, layer)
        assert torch.equal(patch(encoder, layer, x, x), own)
        assert torch.equal(patch(encoder, layer, x, x, channels=[0, d - 1]), own)
        assert torch.equal(patch(encoder, layer, x, x, subspace=rotation(0, d)[:, :2]), own)


def test_a_full_patch_restores_the_source_where_the_layer_cuts_the_network(encoder):
    source, target = images(5), images(5, seed=1)
    theirs = capture(encoder, source, layers=[FEATURES])[FEATURES]
    own = capture(encoder, target, layers=[FEATURES])[FEATURES]
    for layer in encoder.layers:
        patched = patch(encoder, layer, source, target)
        d = width(encoder, layer)
        if layer == "inside":
            assert not torch.allclose(patched, theirs, atol=1e-3)
            assert not torch.allclose(patched, own, atol=1e-3)
        else:
            assert torch.equal(patched, theirs)
        # The whole space and all channels are the whole layer.
        torch.testing.assert_close(patch(encoder, layer, source, target, subspace=rotation(1, d)), patched)
        assert torch.equal(patch(encoder, layer, source, target, channels=torch.ones(d, dtype=torch.bool)), patched)


def test_complementary_subspaces_add_up_at_a_linear_read_out():
    module = nn.Sequential(nn.Conv2d(3, 6, 3, padding=1), nn.Sequential(nn.AdaptiveAvgPool2d(1), nn.Flatten()))
    encoder = wrap(module.eval(), layers={"map": "0"})
    source, target = images(4), images(4, seed=1)
    basis = rotation(0, 6)
    parts = [
        patch(encoder, layer, source, target, subspace=u) for layer in ("map", FEATURES) for u in basis.split(2, 1)
    ]
    own = capture(encoder, target)[FEATURES]
    whole = capture(encoder, source)[FEATURES]
    for three in (parts[:3], parts[3:]):
        torch.testing.assert_close(own + sum(part - own for part in three), whole)
    torch.testing.assert_close(parts[0], parts[3])
    channels = [patch(encoder, "map", source, target, channels=c) for c in ([0, 1, 2], torch.arange(3, 6))]
    torch.testing.assert_close(channels[0] + channels[1] - own, whole)
    assert torch.equal(channels[0][:, :3], whole[:, :3])
    assert torch.equal(channels[0][:, 3:], own[:, 3:])


def test_a_subspace_patch_is_the_projected_difference():
    encoder = small_encoder().eval()
    source, target, u = images(3), images(3, seed=1), rotation(2, 32)[:, :5]
    a, b = (capture(encoder, x)[FEATURES].double() for x in (source, target))
    torch.testing.assert_close(patch(encoder, FEATURES, source, target, subspace=u).double(), b + (a - b) @ u @ u.T)


def test_batches_do_not_matter():
    encoder = small_encoder().eval()
    source, target = images(7), images(7, seed=1)
    torch.testing.assert_close(
        patch(encoder, "layer1", source, target, channels=[1], batch_size=2),
        patch(encoder, "layer1", source, target, channels=[1]),
    )


@pytest.mark.parametrize(
    ("changed", "says"),
    [
        ({"layer": "layer9"}, "layer: expected one of stem"),
        ({"source": images(3)}, "equal shapes"),
        ({"source": images(4, size=16)}, "equal shapes"),
        ({"source": images(0), "target": images(0)}, "at least one image"),
        ({"subspace": torch.eye(15)}, "expected \\(16, r\\)"),
        ({"subspace": torch.ones(16)}, "expected \\(16, r\\)"),
        ({"subspace": torch.zeros(16, 0)}, "expected \\(16, r\\)"),
        ({"subspace": 2 * torch.eye(16)}, "orthonormal columns"),
        ({"subspace": torch.full((16, 1), float("nan"))}, "orthonormal columns"),
        ({"channels": [16]}, "from 0 to 15"),
        ({"channels": [-1]}, "from 0 to 15"),
        ({"channels": [0.5]}, "whole numbers"),
        ({"channels": torch.ones(15, dtype=torch.bool)}, "mask of shape \\(16,\\)"),
        ({"channels": [0], "subspace": torch.eye(16)}, "at most one"),
    ],
)
def test_wrong_requests_are_refused_in_one_line_and_leave_no_hook(changed, says):
    encoder = small_encoder()
    encoder.train()
    asked = {"layer": "layer2", "source": images(4), "target": images(4, seed=1)} | changed
    with pytest.raises(InputError, match=says) as refused:
        patch(encoder, asked.pop("layer"), asked.pop("source"), asked.pop("target"), **asked)
    assert "\n" not in str(refused.value)
    assert hooks(encoder) == 0
    assert all(m.training for m in encoder.modules())


def test_hooks_go_and_modes_return_after_an_exception():
    encoder = small_encoder()
    encoder.train()
    encoder.backbone.layer2.eval()
    modes = [m.training for m in encoder.modules()]

    def failing(_):
        raise RuntimeError("inside")

    with pytest.raises(RuntimeError, match="inside"), replacing(encoder, "layer2", failing):
        encoder(images(2))
    with pytest.raises(RuntimeError, match="inside"):
        activations(encoder, images(2), ["stem"], transform=failing)
    patch(encoder, "layer2", images(2), images(2, seed=1))
    assert hooks(encoder) == 0
    assert [m.training for m in encoder.modules()] == modes


def test_a_layer_that_runs_more_than_once_is_refused():
    class Twice(nn.Module):
        def __init__(self):
            super().__init__()
            self.relu = nn.ReLU()

        def forward(self, x):
            return self.relu(self.relu(x).flatten(1))

    with pytest.raises(InputError, match="layer relu: expected one output an image, received 2"):
        activations(wrap(Twice(), layers={"relu": "relu"}), images(3)[:, :, :1, :1], ["relu"])


def test_an_output_of_several_tensors_is_refused():
    class Pair(nn.Module):
        def forward(self, x):
            return x, x

    class Whole(nn.Module):
        def __init__(self):
            super().__init__()
            self.pair = Pair()

        def forward(self, x):
            return self.pair(x)[0].flatten(1)

    encoder = wrap(Whole(), layers={"pair": "pair"})
    with pytest.raises(InputError, match="expected one tensor as output, received tuple"):
        patch(encoder, "pair", images(2), images(2))
    assert hooks(encoder) == 0


def test_activations_are_whole_and_their_mean_is_what_capture_returns(encoder):
    x = images(70)
    pooled = capture(encoder, x)
    for layer, values in activations(encoder, x, encoder.layers).items():
        assert len(values) == 70
        if values.ndim == 3:
            values = values[:, 0]
        torch.testing.assert_close(values.mean((2, 3)) if values.ndim == 4 else values, pooled[layer])


def test_a_run_from_a_layer_needs_the_images_only_where_it_does_not_cut_the_network(encoder):
    x = images(9)
    features = capture(encoder, x)[FEATURES]
    for layer, values in activations(encoder, x, encoder.layers).items():
        alone = cuts(encoder, layer, x)
        # torchvision's network shapes the patches by the number of images, which two images instead would change.
        counts_images = isinstance(encoder.backbone, VisionTransformer) and layer == "patches"
        assert alone == (layer != "inside" and not counts_images)
        torch.testing.assert_close(run_from(encoder, layer, values, x, alone=alone, batch_size=4), features)
        torch.testing.assert_close(run_from(encoder, layer, values, x, alone=False, batch_size=4), features)
    assert hooks(encoder) == 0
    with pytest.raises(InputError, match="one for each row"):
        run_from(encoder, encoder.layers[0], values, x[:3])


def test_an_in_place_activation_behind_the_layer_changes_no_stored_value():
    module = nn.Sequential(nn.Flatten(), nn.Linear(192, 4), nn.ReLU(inplace=True)).eval()
    encoder = wrap(module, layers={"before": "1"})
    x = images(6)
    values = activations(encoder, x, ["before"])["before"]
    kept = values.clone()
    assert (kept < 0).any()
    run_from(encoder, "before", values, x, alone=True)
    assert torch.equal(values, kept)
    assert torch.equal(patch(encoder, "before", x, x), capture(encoder, x)[FEATURES])


def test_no_gradient_is_kept(encoder):
    assert not patch(encoder, encoder.layers[0], images(2), images(2)).requires_grad
    assert not activations(encoder, images(2), encoder.layers[:1])[encoder.layers[0]].requires_grad
