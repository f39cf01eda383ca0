"""Paths between encoders: the ends are the encoders, controls keep the function or the distance, and readings have the
values that a pencil gives."""

import pytest
import torch
from intertwine.probes.weight_space import (
    barrier,
    displaced,
    half_point,
    interpolated,
    permuted,
    reset_statistics,
    transplanted,
)
from intertwine.representations import wrap
from intertwine.representations.encoders import EncoderSpec, build_encoder
from intertwine.representations.errors import InputError
from torch import nn

SPEC = EncoderSpec("resnet8", width=4, image_size=16)
IMAGES = torch.rand(12, 3, 16, 16, generator=torch.Generator().manual_seed(0))


def state(encoder):
    return encoder.backbone.state_dict()


@pytest.fixture
def two():
    return [reset_statistics(build_encoder(SPEC, seed=seed), [IMAGES]) for seed in (0, 1)]


def test_the_ends_of_a_path_are_the_encoders_and_the_middle_is_their_mean(two):
    a, b = two
    before = {name: x.clone() for name, x in state(a).items()}
    for alpha, end in ((0.0, a), (1.0, b)):
        assert all(torch.equal(x, state(end)[n]) for n, x in state(interpolated(a, b, alpha)).items() if x.ndim)
    middle = state(interpolated(a, b, 0.5))["conv1.weight"]
    torch.testing.assert_close(middle, (state(a)["conv1.weight"] + state(b)["conv1.weight"]) / 2)
    assert all(torch.equal(x, before[name]) for name, x in state(a).items()), "the encoders stay as they are"


def test_a_permuted_encoder_is_the_same_function_elsewhere(two):
    twin = permuted(two[0], seed=3)
    torch.testing.assert_close(twin(IMAGES), two[0](IMAGES))
    assert not torch.equal(state(twin)["layer3.0.conv1.weight"], state(two[0])["layer3.0.conv1.weight"])


def test_a_transplant_changes_one_layer_and_all_of_it(two):
    a, b = two
    together = state(transplanted(a, b, "layer2"))
    for name, x in together.items():
        owner = b if name.startswith("layer2") else a
        assert torch.equal(x, state(owner)[name])
    whole = a
    for layer in ("stem", "layer1", "layer2", "layer3"):
        whole = transplanted(whole, b, layer)
    torch.testing.assert_close(whole(IMAGES), b(IMAGES))


def test_the_control_of_a_transplant_goes_as_far_elsewhere(two):
    a, b = two
    moved = state(displaced(a, b, "layer1", seed=0))
    for name, x in moved.items():
        if not name.startswith("layer1"):
            assert torch.equal(x, state(a)[name])
        elif name.endswith("weight"):
            there, here = state(b)[name] - state(a)[name], x - state(a)[name]
            torch.testing.assert_close(here.norm(), there.norm())
            if there.numel() > 100:
                assert abs(float(torch.dot(there.flatten(), here.flatten()) / there.norm() ** 2)) < 0.5


def test_statistics_are_the_average_over_the_batches(two):
    seen = IMAGES.split(6)
    inputs = [two[0].backbone.conv1((x - two[0].mean) / two[0].std) for x in seen]
    expected = torch.stack([x.mean((0, 2, 3)) for x in inputs]).mean(0)
    torch.testing.assert_close(state(reset_statistics(two[0], seen))["bn1.running_mean"], expected)
    assert not reset_statistics(two[0], seen).training


def test_barrier_and_half_point_by_pencil():
    assert barrier([0, 0.5, 1], [0.9, 0.5, 0.7]) == pytest.approx(0.3)
    assert barrier([0, 0.5, 1], [0.5, 0.9, 0.7]) == 0
    assert half_point([0, 0.5, 1], [0.0, 0.2, 1.0]) == pytest.approx(0.6875)
    assert half_point([0, 0.5, 1], [1.0, 0.2, 0.0]) == pytest.approx(0.3125)
    assert half_point([0, 1], [0.4, 0.4]) == 0


def test_what_they_refuse(two):
    other = build_encoder(EncoderSpec("resnet8", width=8, image_size=16))
    with pytest.raises(InputError, match="encoders: expected two of one architecture, they differ in bn1"):
        interpolated(two[0], other, 0.5)
    with pytest.raises(InputError, match=r"alpha: expected a number in \[0, 1\], received 1.5"):
        interpolated(*two, 1.5)
    with pytest.raises(InputError, match=r"layer: expected one of stem, .* received 'layer9'"):
        transplanted(*two, "layer9")
    foreign = wrap(nn.Sequential(nn.Flatten(), nn.Linear(3 * 256, 4)))
    with pytest.raises(InputError, match="encoder: expected a backbone of basic blocks"):
        permuted(foreign, seed=0)
