"""Encoders are functions of spec and seed, take images as they are, and run at every batch size."""

import json
import math
from itertools import product

import pytest
import torch
from intertwine.representations import Encoder, EncoderSpec, InputError, build_encoder, capture, reinitialised, wrap
from intertwine.representations.capture import recording
from intertwine.representations.encoders import ARCHITECTURES
from torch import nn
from torch.nn.functional import cross_entropy

from tests.factories import case, images


def small(arch: str = "resnet8", width: int = 4, **changes) -> EncoderSpec:
    return EncoderSpec(arch, width, 8, **changes)


def same(a: nn.Module, b: nn.Module) -> bool:
    return all(torch.equal(x, y) for x, y in zip(a.state_dict().values(), b.state_dict().values(), strict=True))


# --- spec


def test_a_bad_spec_names_field_expected_and_received():
    for changes, message in (
        ({"arch": "resnet9"}, "arch: expected one of resnet8, resnet18, resnet20, resnet56, received 'resnet9'"),
        ({"width": 0}, "width: expected a whole number from 1 to 1024, received 0"),
        ({"width": 1025}, "width: .*received 1025"),
        ({"width": 8.0}, "width: expected a whole number .*received 8.0"),
        ({"width": "8"}, "width: .*received '8'"),
        ({"width": True}, "width: .*received True"),
        ({"image_size": 7}, "image_size: expected a whole number from 8 to 1024, received 7"),
        ({"image_size": None}, "image_size: .*received None"),
        ({"mean": (0.5, 0.5)}, "mean: expected three numbers"),
        ({"mean": ("a", "b", "c")}, "mean: expected three numbers"),
        ({"mean": 0.5}, "mean: expected three numbers"),
        ({"mean": (0.5, math.nan, 0.5)}, "mean: expected three"),
        ({"std": (1, 1, 1, 1)}, "std: expected three numbers"),
        ({"std": (1, 0, 1)}, "std: expected three positive numbers"),
        ({"std": (1, -1, 1)}, "std: expected three positive numbers"),
        ({"std": (1, 1, math.nan)}, "std: expected three positive"),
        ({"std": (math.nan, 1, 1)}, "std: expected three positive"),
        ({"std": (math.inf, 1, 1)}, "std: expected three positive"),
        ({"arch": "resnet20", "width": 15}, "width: expected an even number for resnet20, received 15"),
    ):
        with case(message), pytest.raises(InputError, match=message):
            EncoderSpec(**changes)


def test_a_spec_survives_json():
    spec = EncoderSpec("resnet8", 12, 24, mean=(0.1, 0.2, 0.3), std=(0.4, 0.5, 0.6))
    assert EncoderSpec.from_dict(json.loads(json.dumps(spec.to_dict()))) == spec
    assert hash(spec) == hash(EncoderSpec.from_dict(json.loads(json.dumps(spec.to_dict()))))


def test_from_dict_wants_exactly_the_fields():
    for change in ({"depth": 3}, {"arch": None}):
        with case(change):
            values = EncoderSpec().to_dict()
            values.update(change)
            values = {key: value for key, value in values.items() if value is not None}
            with pytest.raises(
                InputError, match="encoder spec: expected the fields arch, width, image_size, mean, std"
            ):
                EncoderSpec.from_dict(values)


# --- build_encoder


def test_weights_are_a_function_of_the_seed():
    assert same(build_encoder(small(), seed=3), build_encoder(small(), seed=3))
    assert not same(build_encoder(small(), seed=3), build_encoder(small(), seed=4))


def test_building_neither_reads_nor_moves_the_global_stream():
    torch.manual_seed(1)
    before = torch.get_rng_state()
    first = build_encoder(small(), seed=3)
    assert torch.equal(before, torch.get_rng_state())
    torch.manual_seed(2)
    assert same(first, build_encoder(small(), seed=3))


@pytest.mark.parametrize("build", [lambda: build_encoder(small()), lambda: reinitialised(wrap(nn.Conv2d(3, 2, 8)))])
def test_building_does_not_reseed_the_accelerators_global_stream(build, monkeypatch):
    """torch.manual_seed seeds every CUDA device too, and fork_rng(devices=[]) does not put that back."""
    calls = []
    monkeypatch.setattr(torch.cuda, "manual_seed_all", calls.append)
    build()
    assert calls == []


@pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a GPU")
def test_building_leaves_the_gpu_stream_alone():
    torch.cuda.manual_seed(1)
    before = torch.cuda.get_rng_state()
    build_encoder(small())
    assert torch.equal(before, torch.cuda.get_rng_state())


def test_resnet18_has_the_size_of_the_cifar_resnet18():
    """11,173,962 parameters with the linear layer 512 × 10 + 10 of the usual CIFAR ResNet-18."""
    encoder = build_encoder(EncoderSpec("resnet18"))
    assert sum(p.numel() for p in encoder.parameters()) == 11_173_962 - 5_130
    assert encoder.dim == 512


def test_resnet20_has_the_size_of_its_paper():
    """With the linear layer 64 × 10 + 10 it has .27 million (He et al., CVPR 2016, table 6)."""
    encoder = build_encoder(EncoderSpec("resnet20", 16))
    assert sum(p.numel() for p in encoder.parameters()) == 269_722 - 650
    assert not any("downsample" in name for name in encoder.backbone.state_dict())
    block = encoder.backbone.layer2[0].downsample
    x = torch.rand(1, 16, 4, 4)
    shortcut = block(x)
    assert torch.equal(shortcut[:, 8:24], x[:, :, ::2, ::2])
    assert not shortcut[:, :8].any()
    assert not shortcut[:, 24:].any()


@pytest.mark.parametrize(("arch", "multiple"), [("resnet8", 8), ("resnet18", 8), ("resnet20", 4)])
def test_dim_and_layers(arch, multiple):
    encoder = build_encoder(small(arch))
    assert encoder.dim == multiple * 4
    assert encoder.layers[0] == "stem"
    assert encoder.layers[-1] == "features"
    assert encoder(images(2)).shape == (2, encoder.dim)
    assert set(capture(encoder, images(2))) == set(encoder.layers)


@pytest.mark.parametrize("arch", ARCHITECTURES)
def test_defect_imagenet_stem_on_small_images(arch):
    """3×3 stem, stride 1, no max-pooling: the first block sees the full resolution."""
    encoder = build_encoder(EncoderSpec(arch, 2, 32))
    with recording(encoder, ["stem"]) as outputs:
        encoder(images(2, 32))
    assert outputs["stem"].shape == (2, 2, 32, 32)
    assert encoder.backbone.conv1.kernel_size == (3, 3)
    assert not any(isinstance(m, nn.MaxPool2d) for m in encoder.modules())


def test_forward_and_backward_at_odd_batch_sizes():
    """torch 2.15.0 corrupts the heap in the backward of channels_last convolutions at odd batches and such widths."""
    for arch, width, (batch, training) in product(
        ARCHITECTURES, (4, 6), ((1, False), (3, False), (129, False), (3, True), (33, True))
    ):
        with case(arch, width, batch, training):
            encoder = build_encoder(EncoderSpec(arch, width, 16)).train(training)
            assert all(p.is_contiguous() for p in encoder.parameters())
            x = images(batch, 16)
            features = encoder(x)
            cross_entropy(features, torch.arange(batch) % features.shape[1]).backward()
            for name, p in encoder.named_parameters():
                assert p.grad is not None, name
                assert torch.isfinite(p.grad).all(), name
                if p.ndim > 1:
                    assert p.grad.abs().sum() > 0, name
            if not training:  # in evaluation mode an image's features are its own, whatever the batch
                with torch.no_grad():
                    torch.testing.assert_close(features[-1:], encoder(x[-1:]), atol=1e-5, rtol=1e-4)


def test_a_few_steps_of_sgd_learn():
    encoder = build_encoder(small())
    x, y = images(24), torch.arange(24) % 4
    optimiser = torch.optim.SGD(encoder.parameters(), lr=0.1, momentum=0.9)
    losses = []
    for _ in range(8):
        loss = cross_entropy(encoder(x), y)
        optimiser.zero_grad()
        loss.backward()
        optimiser.step()
        losses.append(loss.item())
    assert losses[-1] < 0.7 * losses[0]


# --- images in


@pytest.mark.parametrize("arch", ARCHITECTURES)
def test_uint8_and_float_give_the_same_features(arch):
    encoder = build_encoder(small(arch)).eval()
    with torch.no_grad():
        assert torch.equal(encoder(images(3)), encoder(images(3).float() / 255))


def test_normalisation_is_inside():
    mean, std = (0.1, 0.2, 0.3), (0.5, 0.25, 2.0)
    encoder = build_encoder(small(mean=mean, std=std)).eval()
    x = images(3).float() / 255
    by_hand = torch.stack([(x[:, c] - mean[c]) / std[c] for c in range(3)], dim=1)
    with torch.no_grad():
        torch.testing.assert_close(encoder(images(3)), encoder.backbone(by_hand))
    pixels = wrap(nn.Flatten(), mean=mean, std=std)
    torch.testing.assert_close(pixels(images(3)), by_hand.flatten(1))


def test_wrapping_without_numbers_does_not_normalise():
    torch.testing.assert_close(wrap(nn.Flatten())(images(3)), images(3).flatten(1).float() / 255)


def test_whole_numbers_are_a_normalisation_too():
    images = torch.rand(2, 3, 4, 4)
    assert torch.equal(wrap(nn.Flatten(), mean=(0, 0, 0), std=(1, 1, 1))(images), images.flatten(1))


def test_normalisation_is_no_weight():
    """mean and std belong to the spec: a state_dict holds the backbone's entries only."""
    assert all(name.startswith("backbone.") for name in build_encoder(small()).state_dict())


def test_images_of_another_shape_are_an_error():
    for shape in ((3, 8, 8), (2, 1, 8, 8), (2, 8, 8, 3), (2, 3, 8)):
        with case(shape), pytest.raises(InputError, match=r"images: expected shape \(n, 3, H, W\), received \("):
            build_encoder(small())(torch.zeros(shape))


def test_other_whole_numbers_are_an_error_and_not_read_as_0_to_1():
    for dtype in (torch.int64, torch.int32, torch.int8):
        with case(dtype), pytest.raises(InputError, match="images"):
            build_encoder(small())(images(2).to(dtype))


def test_float64_images_are_floats_too():
    encoder = build_encoder(small()).eval()
    with torch.no_grad():
        torch.testing.assert_close(encoder(images(2).double() / 255), encoder(images(2)), check_dtype=False)


# --- wrap


def test_wrapped_layers_keep_their_order():
    encoder = wrap(nn.Sequential(nn.Conv2d(3, 2, 3), nn.ReLU(), nn.Flatten()), layers={"a": "0", "b": "1"})
    assert isinstance(encoder, Encoder)
    assert encoder.layers == ("a", "b", "features")
    assert encoder.spec is None
    with pytest.raises(InputError, match="does not report its dimension"):
        _ = encoder.dim


def test_a_normalisation_on_another_scale_is_refused():
    for given, name in (
        ({"mean": (123.7, 116.3, 103.5)}, "mean: expected three numbers from 0 to 1, for pixels in"),
        ({"std": (58.4, 57.1, 57.4)}, "std: expected three numbers from 1e-06 to 2, for pixels in"),
        ({"std": (-1.0, 1.0, 1.0)}, "std: "),
        ({"mean": (0.5, 0.5)}, "mean: "),
        ({"mean": 0.5}, "mean: "),
    ):
        with case(given), pytest.raises(InputError, match=name):
            wrap(nn.Flatten(), **given)


def test_wrapping_names_bad_layers():
    for layers, message in (
        ({"a": "9"}, "expected names of the backbone's submodules, received 'a': '9'"),
        ({"a": ""}, "received 'a': ''"),
        ({"features": "0"}, "'features' is the encoder's own output"),
    ):
        with case(message), pytest.raises(InputError, match=message):
            wrap(nn.Sequential(nn.Flatten()), layers=layers)


# --- reinitialised


def test_reinitialised_changes_all_kernels_and_leaves_the_original():
    encoder = build_encoder(small(), seed=0)
    before = {name: value.clone() for name, value in encoder.state_dict().items()}
    fresh = reinitialised(encoder, seed=0)
    for (name, new), old in zip(fresh.named_parameters(), encoder.parameters(), strict=True):
        if new.ndim > 1:
            assert not torch.equal(new, old), name
            assert new.data_ptr() != old.data_ptr(), name
    assert all(torch.equal(value, before[name]) for name, value in encoder.state_dict().items())
    assert fresh.spec == encoder.spec
    assert fresh.layers == encoder.layers


def test_reinitialised_is_a_function_of_the_seed_and_not_of_the_weights():
    trained = build_encoder(small(), seed=0)
    with torch.no_grad():
        for p in trained.parameters():
            p.add_(1)
    assert same(reinitialised(trained, seed=5), reinitialised(build_encoder(small(), seed=8), seed=5))
    assert not same(reinitialised(trained, seed=5), reinitialised(trained, seed=6))


def test_the_random_init_reference_is_not_the_encoders_own_initialisation():
    assert not same(reinitialised(build_encoder(small(), seed=0), seed=0), build_encoder(small(), seed=0))


def foreign() -> Encoder:
    return wrap(
        nn.Sequential(nn.Conv2d(3, 4, 3), nn.BatchNorm2d(4), nn.ReLU(), nn.Flatten(), nn.Linear(144, 6)),
        layers={"conv": "0"},
        mean=(0.5, 0.5, 0.5),
    )


def test_reinitialised_resets_a_foreign_module_and_its_statistics():
    encoder = foreign().train()
    encoder(images(20))
    with torch.no_grad():
        encoder.backbone[1].weight.fill_(7)
    before = {name: value.clone() for name, value in encoder.state_dict().items()}
    torch.manual_seed(1)
    state = torch.get_rng_state()
    fresh = reinitialised(encoder, seed=2)
    assert torch.equal(state, torch.get_rng_state())
    torch.manual_seed(3)
    assert same(fresh, reinitialised(encoder, seed=2))
    assert not same(fresh, reinitialised(encoder, seed=3))
    for name in ("backbone.0.weight", "backbone.4.weight", "backbone.4.bias"):
        assert not torch.equal(fresh.state_dict()[name], before[name])
    assert torch.equal(fresh.backbone[1].running_mean, torch.zeros(4))
    assert torch.equal(fresh.backbone[1].weight, torch.ones(4))
    assert all(torch.equal(value, before[name]) for name, value in encoder.state_dict().items())
    assert fresh.layers == encoder.layers
    torch.testing.assert_close(fresh.mean, encoder.mean)


def test_a_foreign_weight_that_cannot_be_reset_is_an_error():
    class Scaled(nn.Module):
        def __init__(self):
            super().__init__()
            self.scale = nn.Parameter(torch.ones(3))

        def forward(self, x):
            return x.mean((2, 3)) * self.scale

    with pytest.raises(InputError, match=r"backbone \(Scaled\) has weights but no reset_parameters"):
        reinitialised(wrap(Scaled()))
