"""Augmentation: one independent draw an image, whose geometry and colours are measured from the outside.

No test reads the random numbers. Ramps give back each image's crop, and chroma and luma give back its colour factors;
what they predict for other pixels, by loops over the textbook steps, must then be there.
"""

import math
from itertools import product

import numpy as np
import pytest
import torch
from intertwine.representations.errors import InputError
from intertwine.training.augment import Augment
from scipy.stats import kstest
from torchvision.transforms import v2

from tests.factories import case, rand, stream
from tests.training.augmented import LUMA, OFF, ON, only

SIDE = 16


# --- contract


def test_everything_off_changes_no_bit():
    batch = rand(1000, 7, 3, 9, 12)
    assert torch.equal(only()(batch, stream()), batch)


@pytest.mark.parametrize("parameters", [{"jitter": 0.4, "hue": 0.5}, {"crop": 1.0, "flip": 1e-9}])
def test_probability_zero_changes_nothing(parameters):
    batch = rand(1000, 50, 3, 8, 8)
    torch.testing.assert_close(only(**parameters)(batch, stream()), batch, atol=2e-6, rtol=0)


@pytest.mark.parametrize("parameters", [OFF, ON, ON | {"jitter": 1.0, "hue": 1.0, "jitter_p": 1.0, "grayscale": 0.5}])
def test_result_is_in_range_of_the_same_shape_and_the_input_is_kept(parameters):
    extreme = torch.tensor([[r, g, b] for r in (0, 1) for g in (0, 1) for b in (0, 1)]).float()
    batch = torch.cat([rand(1000, 40, 3, 10, 10), extreme.view(8, 3, 1, 1).expand(8, 3, 10, 10)]).repeat(10, 1, 1, 1)
    before = batch.clone()
    out = Augment(**parameters)(batch, stream())
    assert torch.equal(batch, before)
    assert (out.shape, out.dtype) == (batch.shape, torch.float32)
    assert torch.isfinite(out).all()
    assert out.min() >= 0
    assert out.max() <= 1


def test_same_stream_same_result_and_the_global_stream_is_not_used():
    batch = rand(1000, 20, 3, 8, 8)
    torch.manual_seed(1)
    first = Augment(**ON)(batch, stream(3))
    state = torch.get_rng_state()
    torch.manual_seed(2)
    assert torch.equal(Augment(**ON)(batch, stream(3)), first)
    torch.set_rng_state(state)
    Augment(**ON)(batch, stream(3))
    assert torch.equal(torch.get_rng_state(), state)
    assert not torch.equal(Augment(**ON)(batch, stream(4)), first)


def test_one_jitter_coin_per_batch():
    """Defect seen elsewhere (CTRL's code): one draw for the whole batch. Here equal images come out different."""
    for name in ("crop", "flip", "jitter", "grayscale", "hue"):
        with case(name):
            parameters = OFF | {"jitter_p": 1.0} | {name: {"crop": 0.2, "jitter": 0.4, "hue": 0.2}.get(name, 0.5)}
            batch = rand(1000, 1, 3, 8, 8).expand(64, -1, -1, -1)
            out = Augment(**parameters)(batch, stream())
            distinct = len({image.numpy().tobytes() for image in out})
            assert distinct == 2 if name in ("flip", "grayscale") else distinct == 64


def test_coins_of_an_image_are_independent_of_one_another():
    """Flip, grayscale and jitter are decided apart: all eight combinations come up as often as they should."""
    n = 4000
    batch = rand(1000, 1, 3, 8, 8, low=0.4, high=0.6).expand(n, -1, -1, -1)
    out = Augment(**OFF | {"flip": 0.5, "jitter": 0.2, "jitter_p": 0.5, "grayscale": 0.5})(batch, stream())
    gray = (out - out.mean(1, keepdim=True)).abs().amax((1, 2, 3)) < 1e-5
    luma_in, luma_out = ((x.double() * torch.tensor(LUMA).view(3, 1, 1)).sum(1) for x in (batch, out))
    jittered = (luma_out.flatten(1).sort().values - luma_in.flatten(1).sort().values).abs().amax(1) > 1e-5
    centred = luma_out - luma_out.mean((1, 2), keepdim=True)
    flipped = (centred * luma_in.flip(2)).sum((1, 2)) > (centred * luma_in).sum((1, 2))
    code = gray.long() + 2 * jittered.long() + 4 * flipped.long()
    share = code.bincount(minlength=8) / n
    assert (share - 1 / 8).abs().max() < 0.025


@pytest.mark.parametrize("parameters", [ON, ON | {"crop": 1.0}, OFF | {"jitter": 0.4, "jitter_p": 1.0}])
def test_an_image_does_not_depend_on_its_batch_mates(parameters):
    augment, batch = Augment(**parameters), rand(1000, 33, 3, 8, 8)
    whole = augment(batch, stream())
    torch.testing.assert_close(augment(batch[:5], stream()), whole[:5], atol=2e-6, rtol=0)
    others = rand(1009, 33, 3, 8, 8)
    others[20] = batch[20]
    torch.testing.assert_close(augment(others, stream())[20], whole[20], atol=2e-6, rtol=0)


def test_no_device_is_together_with_another():
    assert Augment()(torch.rand(4, 3, 16, 16, device="meta"), stream()).device.type == "meta"


def test_strides_do_not_matter():
    wide = rand(1000, 12, 3, 16, 16)
    view = wide[:, :, ::2, ::2]
    expected = Augment(**ON)(view.clone(memory_format=torch.contiguous_format), stream())
    for batch in (view, view.contiguous(memory_format=torch.channels_last)):
        torch.testing.assert_close(Augment(**ON)(batch, stream()), expected, atol=2e-6, rtol=0)


def test_parameters_out_of_range_are_refused():
    crops = product(["crop"], (0, -0.1, 1.01, math.nan))
    others = product(("flip", "jitter", "hue", "jitter_p", "grayscale"), (-0.01, 1.01, math.nan, math.inf))
    for name, value in (*crops, *others):
        message = rf"^{name}: expected .* in [\(\[]0, 1\], received {value}"
        with case(name, value), pytest.raises(InputError, match=message):
            Augment(**OFF | {name: value})


# --- crop and flip


def ramps(n: int, texture: torch.Tensor | None = None) -> torch.Tensor:
    """Channel 0 holds each pixel's x in [0, 1], channel 1 its y, channel 2 a texture."""
    position = (torch.arange(SIDE) + 0.5) / SIDE
    third = torch.zeros(SIDE, SIDE) if texture is None else texture
    image = torch.stack([position.expand(SIDE, SIDE), position.view(-1, 1).expand(SIDE, SIDE), third])
    return image.expand(n, -1, -1, -1)


def measured(out: torch.Tensor) -> dict[str, np.ndarray]:
    """Each image's window, in shares of the side, from inner pixels of the ramps: signed scale and left or top edge."""
    out, low, high = out.double(), 2, SIDE - 3
    window = {}
    for axis, plane in (("x", out[:, 0, SIDE // 2]), ("y", out[:, 1, :, SIDE // 2])):
        scale = (plane[:, high] - plane[:, low]) / (high - low) * SIDE
        centre = (plane[:, high] + plane[:, low]) / 2
        window[f"scale_{axis}"], window[f"edge_{axis}"] = scale.numpy(), (centre - scale.abs() / 2).numpy()
    window["area"] = np.abs(window["scale_x"]) * window["scale_y"]
    window["aspect"] = np.abs(window["scale_x"]) / window["scale_y"]
    return window


def uniform(values: np.ndarray, low: float, high: float) -> None:
    """Uniform between the bounds, as a Kolmogorov–Smirnov test at 1e-4 tells (the streams are fixed)."""
    assert low - 1e-4 <= values.min()
    assert values.max() <= high + 1e-4
    assert kstest(values, "uniform", args=(low, high - low)).pvalue > 1e-4


def test_crop_and_flip_sample_the_image_bilinearly():
    """Every pixel of the third channel, from the window that the first two tell, by loops."""
    texture = rand(1000, SIDE, SIDE)
    out = only(crop=0.1, flip=0.5)(ramps(12, texture), stream(5))
    window = measured(out)
    assert (window["scale_x"] < 0).any()
    assert (window["scale_x"] > 0).any()

    def pixel(i: int, j: int) -> float:
        return float(texture[min(max(i, 0), SIDE - 1), min(max(j, 0), SIDE - 1)])

    for n in range(12):
        scale_x, scale_y = window["scale_x"][n], window["scale_y"][n]
        left, top = window["edge_x"][n], window["edge_y"][n]
        for i in range(SIDE):
            for j in range(SIDE):
                share = (j + 0.5) / SIDE
                x = (left + abs(scale_x) * (share if scale_x > 0 else 1 - share)) * SIDE - 0.5
                y = (top + scale_y * (i + 0.5) / SIDE) * SIDE - 0.5
                x0, y0 = math.floor(x), math.floor(y)
                fx, fy = x - x0, y - y0
                expected = (1 - fy) * ((1 - fx) * pixel(y0, x0) + fx * pixel(y0, x0 + 1))
                expected += fy * ((1 - fx) * pixel(y0 + 1, x0) + fx * pixel(y0 + 1, x0 + 1))
                assert float(out[n, 2, i, j]) == pytest.approx(expected, abs=2e-4)


def test_crops_keep_to_area_aspect_and_image():
    for crop in (0.08, 0.2, 0.5, 0.9, 0.99):
        with case(crop):
            window = measured(only(crop=crop, flip=0.5)(ramps(4000), stream()))
            assert window["area"].min() >= crop - 1e-3, "crop is the smallest area"
            assert window["area"].max() <= 1 + 1e-4
            assert window["aspect"].min() >= 3 / 4 - 1e-3
            assert window["aspect"].max() <= 4 / 3 + 1e-3
            for axis in "xy":
                edge, scale = window[f"edge_{axis}"], np.abs(window[f"scale_{axis}"])
                assert edge.min() >= -1e-4
                assert (edge + scale).max() <= 1 + 1e-4


@pytest.mark.parametrize("crop", [0.08, 0.2])
def test_crops_are_uniform_in_area_log_aspect_and_place(crop):
    window = measured(only(crop=crop)(ramps(8000), stream()))
    inner = window["area"] < 0.7  # no aspect up to 4/3 makes these stick out
    assert inner.sum() > 4000
    uniform(window["area"][inner], crop, 0.7)
    uniform(np.log(window["aspect"][inner]), -math.log(4 / 3), math.log(4 / 3))
    for axis in "xy":
        edge, scale = window[f"edge_{axis}"][inner], np.abs(window[f"scale_{axis}"][inner])
        uniform(edge / (1 - scale), 0, 1)
    names = ("area", "aspect", "edge_x", "edge_y")
    relative = [window["area"], window["aspect"]]
    relative += [window[f"edge_{a}"] / np.maximum(1 - np.abs(window[f"scale_{a}"]), 1e-6) for a in "xy"]
    correlation = np.corrcoef([values[inner] for values in relative])
    assert np.abs(correlation - np.eye(len(names))).max() < 0.06, "drawn independently"


@pytest.mark.parametrize("crop", [0.08, 0.2, 0.5])
def test_crop_areas_are_distributed_as_torchvision_s(crop):
    """RandomResizedCrop draws again where a crop would stick out, which makes large crops rarer."""
    reference = v2.RandomResizedCrop(224, scale=(crop, 1.0))
    blank = [torch.zeros(3, 224, 224)]
    torch.manual_seed(0)
    drawn = [reference.make_params(blank) for _ in range(6000)]
    area = np.array([p["height"] * p["width"] / 224**2 for p in drawn])
    aspect = np.log([p["width"] / p["height"] for p in drawn])
    window = measured(only(crop=crop)(ramps(6000), stream()))
    assert np.log(window["aspect"]).std() == pytest.approx(aspect.std(), rel=0.03)
    assert window["area"].mean() == pytest.approx(area.mean(), abs=0.015)
    assert window["area"].std() == pytest.approx(area.std(), abs=0.01)


def test_flip_mirrors_exactly():
    batch = rand(1000, 9, 3, 8, 8)
    torch.testing.assert_close(only(flip=1.0)(batch, stream()), batch.flip(3), atol=2e-6, rtol=0)


def test_flip_rate():
    for p, crop in product((0.1, 0.5, 0.9), (0.3, 1.0)):
        with case(p, crop):
            flipped = measured(only(crop=crop, flip=p)(ramps(4000), stream()))["scale_x"] < 0
            assert flipped.mean() == pytest.approx(p, abs=4.5 * math.sqrt(p * (1 - p) / 4000))


def test_images_need_not_be_square():
    batch = rand(1000, 3, 3, 6, 11)
    torch.testing.assert_close(only(flip=1.0)(batch, stream()), batch.flip(3), atol=2e-6, rtol=0)
    constant = torch.full((3, 3, 6, 11), 0.25)
    torch.testing.assert_close(only(crop=0.2, flip=0.5)(constant, stream()), constant, atol=2e-6, rtol=0)
