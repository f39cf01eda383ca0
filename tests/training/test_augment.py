"""Augmentation: one independent draw an image, whose geometry and colours are measured from the outside.

No test reads the random numbers. Ramps give back each image's crop, and chroma and luma give back its colour factors;
what they predict for other pixels, by loops over the textbook steps, must then be there.
"""

import math

import numpy as np
import pytest
import torch
from intertwine.representations.errors import InputError
from intertwine.training.augment import Augment
from scipy.stats import kstest
from torch.nn.functional import interpolate
from torchvision.transforms import v2

from tests.factories import rand, stream

OFF = {"crop": 1.0, "flip": 0.0, "jitter": 0.0, "hue": 0.0, "jitter_p": 0.0, "grayscale": 0.0}
ON = {"crop": 0.2, "flip": 0.5, "jitter": 0.4, "hue": 0.1, "jitter_p": 0.8, "grayscale": 0.2}
SIDE = 16
LUMA = np.array([0.299, 0.587, 0.114])


def only(**parameters) -> Augment:
    return Augment(**OFF | parameters)


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


@pytest.mark.parametrize("name", ["crop", "flip", "jitter", "grayscale", "hue"])
def test_one_jitter_coin_per_batch(name):
    """Defect seen elsewhere (CTRL's code): one draw for the whole batch. Here equal images come out different."""
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


@pytest.mark.parametrize(
    ("name", "value"),
    [("crop", 0), ("crop", -0.1), ("crop", 1.01), ("crop", float("nan"))]
    + [
        (name, value)
        for name in ("flip", "jitter", "hue", "jitter_p", "grayscale")
        for value in (-0.01, 1.01, float("nan"), float("inf"))
    ],
)
def test_parameters_out_of_range_are_refused(name, value):
    with pytest.raises(InputError, match=rf"^{name}: expected .* in [\(\[]0, 1\], received {value}"):
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


@pytest.mark.parametrize("crop", [0.08, 0.2, 0.5, 0.9, 0.99])
def test_crops_keep_to_area_aspect_and_image(crop):
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


@pytest.mark.parametrize("p", [0.1, 0.5, 0.9])
@pytest.mark.parametrize("crop", [0.3, 1.0])
def test_flip_rate(p, crop):
    flipped = measured(only(crop=crop, flip=p)(ramps(4000), stream()))["scale_x"] < 0
    assert flipped.mean() == pytest.approx(p, abs=4.5 * math.sqrt(p * (1 - p) / 4000))


def test_images_need_not_be_square():
    batch = rand(1000, 3, 3, 6, 11)
    torch.testing.assert_close(only(flip=1.0)(batch, stream()), batch.flip(3), atol=2e-6, rtol=0)
    constant = torch.full((3, 3, 6, 11), 0.25)
    torch.testing.assert_close(only(crop=0.2, flip=0.5)(constant, stream()), constant, atol=2e-6, rtol=0)


# --- colour


def factors(before: torch.Tensor, after: torch.Tensor) -> dict[str, np.ndarray]:
    """Each image's brightness, contrast, saturation and hue (in turns), from luma and chroma alone.

    Brightness scales by b; contrast pulls towards the mean luma: Y → c·b·Y + (1 − c)·b·mean(Y). Saturation and hue keep
    Y and multiply the chroma I + iQ by s·exp(2πih), on top of b·c.
    """
    yiq = np.array([[0.299, 0.587, 0.114], [0.596, -0.274, -0.322], [0.211, -0.523, 0.312]])
    found: dict[str, list[float]] = {"brightness": [], "contrast": [], "saturation": [], "hue": []}
    for x, z in zip(before.double().flatten(2).numpy(), after.double().flatten(2).numpy(), strict=True):
        (y0, i0, q0), (y1, i1, q1) = yiq @ x, yiq @ z
        slope, intercept = np.polyfit(y0, y1, 1)
        b = slope + intercept / y0.mean()
        chroma0, chroma1 = i0 + 1j * q0, i1 + 1j * q1
        ratio = (chroma0.conj() @ chroma1) / (chroma0.conj() @ chroma0)
        for name, value in zip(found, (b, slope / b, abs(ratio) / slope, np.angle(ratio) / (2 * np.pi)), strict=True):
            found[name].append(value)
    return {name: np.array(values) for name, values in found.items()}


MIDDLE = {"low": 0.42, "high": 0.58}  # so that no factor up to 1.4 reaches the clamp


def test_colour_steps_are_brightness_contrast_saturation_hue_in_turn():
    """Every pixel, from the factors that luma and chroma tell, one step after the other."""
    batch = rand(1000, 20, 3, 6, 6, **MIDDLE)
    out = only(jitter=0.4, hue=0.3, jitter_p=1.0)(batch, stream())
    f = factors(batch, out)
    for n in range(20):
        x = batch[n].double().numpy() * f["brightness"][n]
        gray = sum(LUMA[c] * x[c] for c in range(3)).mean()
        x = f["contrast"][n] * x + (1 - f["contrast"][n]) * gray
        luma = sum(LUMA[c] * x[c] for c in range(3))
        x = np.stack([f["saturation"][n] * x[c] + (1 - f["saturation"][n]) * luma for c in range(3)])
        i, q = 0.596 * x[0] - 0.274 * x[1] - 0.322 * x[2], 0.211 * x[0] - 0.523 * x[1] + 0.312 * x[2]
        angle = 2 * math.pi * f["hue"][n]
        i, q = math.cos(angle) * i - math.sin(angle) * q, math.sin(angle) * i + math.cos(angle) * q
        luma = sum(LUMA[c] * x[c] for c in range(3))
        # The FCC matrix to three decimals, Y + .956 I + .619 Q and so on: inverse to .002.
        rgb = [luma + 0.956 * i + 0.619 * q, luma - 0.272 * i - 0.647 * q, luma - 1.106 * i + 1.703 * q]
        np.testing.assert_allclose(out[n].numpy(), np.stack(rgb), atol=2e-3)


@pytest.mark.parametrize("jitter", [0.1, 0.4])
def test_factors_are_uniform_and_independent(jitter):
    batch = rand(1000, 2500, 3, 4, 4, **MIDDLE)
    f = factors(batch, only(jitter=jitter, hue=0.2, jitter_p=1.0)(batch, stream()))
    for name in ("brightness", "contrast", "saturation"):
        assert np.abs(f[name] - 1).max() <= jitter + 1e-3
        assert kstest(f[name], "uniform", args=(1 - jitter, 2 * jitter)).pvalue > 1e-4, name
    assert np.abs(f["hue"]).max() <= 0.2 + 1e-3
    assert kstest(f["hue"], "uniform", args=(-0.2, 0.4)).pvalue > 1e-4
    assert np.abs(np.corrcoef(list(f.values())) - np.eye(4)).max() < 0.1


def test_jitter_alone_does_not_turn_the_hue_and_hue_alone_keeps_the_rest():
    batch = rand(1000, 50, 3, 4, 4, **MIDDLE)
    f = factors(batch, only(jitter=0.4, jitter_p=1.0)(batch, stream()))
    assert np.abs(f["hue"]).max() < 1e-4
    f = factors(batch, only(hue=0.3, jitter_p=1.0)(batch, stream()))
    for name in ("brightness", "contrast", "saturation"):
        np.testing.assert_allclose(f[name], 1, atol=1e-3)
    assert np.abs(f["hue"]).max() > 0.2


@pytest.mark.parametrize("p", [0.2, 0.8])
def test_jitter_rate_covers_all_four(p):
    batch = rand(1000, 3000, 3, 4, 4, **MIDDLE)
    f = factors(batch, only(jitter=0.4, hue=0.2, jitter_p=p)(batch, stream()))
    untouched = np.array([np.abs(f[name] - (name != "hue")) < 1e-4 for name in f])
    assert 1 - untouched.all(0).mean() == pytest.approx(p, abs=4.5 * math.sqrt(p * (1 - p) / 3000))
    assert (untouched.any(0) & ~untouched.all(0)).mean() < 0.005, "all four or none"


def test_a_gray_image_only_changes_brightness():
    level = torch.full((40, 3, 5, 5), 0.5)
    out = only(jitter=0.4, hue=0.5, jitter_p=1.0, grayscale=0.5)(level, stream())
    torch.testing.assert_close(out, out[:, :1, :1, :1].expand_as(out), atol=2e-6, rtol=0)
    assert 0.3 - 1e-5 <= out.min() < 0.35
    assert 0.65 < out.max() <= 0.7 + 1e-5


def test_values_are_clamped_once_at_the_end():
    """White made brighter and then pulled down by contrast: clamping in between would end at another grey."""
    batch = torch.ones(400, 3, 2, 2)
    batch[:, :, 0] = 0.2
    out = only(jitter=0.4, jitter_p=1.0)(batch, stream())[:, 0].double().numpy()
    mean = 0.6
    unclamped = (out > 0) & (out < 1)
    for dark, bright in zip(out[unclamped.all((1, 2))][:, 0, 0], out[unclamped.all((1, 2))][:, 1, 0], strict=True):
        b = (dark + bright) / (2 * mean)
        c = (bright - dark) / (0.8 * b)
        assert 0.6 - 1e-5 <= b <= 1.4 + 1e-5
        assert 0.6 - 1e-5 <= c <= 1.4 + 1e-5
    assert ((out.sum((1, 2)) > 2.4) & unclamped.all((1, 2))).any(), "some were brighter than white on the way"


@pytest.mark.parametrize("p", [0.2, 0.5, 1.0])
def test_grayscale_is_luma_at_its_rate(p):
    batch = rand(1000, 3000, 3, 3, 3)
    out = only(grayscale=p)(batch, stream())
    luma = 0.299 * batch[:, 0] + 0.587 * batch[:, 1] + 0.114 * batch[:, 2]
    gray = (out - luma.unsqueeze(1)).abs().amax((1, 2, 3)) < 1e-5
    torch.testing.assert_close(out[~gray], batch[~gray], atol=2e-6, rtol=0)
    assert float(gray.float().mean()) == pytest.approx(p, abs=4.5 * math.sqrt(p * (1 - p) / 3000) + 1e-9)
    reference = v2.functional.rgb_to_grayscale(batch[gray], num_output_channels=3)
    torch.testing.assert_close(out[gray], reference, atol=5e-4, rtol=0)


def test_grayscale_comes_after_the_jitter():
    batch = rand(1000, 200, 3, 4, 4, **MIDDLE)
    out = only(jitter=0.4, hue=0.3, jitter_p=1.0, grayscale=1.0)(batch, stream())
    assert (out - out.mean(1, keepdim=True)).abs().max() < 1e-5
    assert (out.mean((1, 2, 3)) - batch.mean((1, 2, 3))).abs().max() > 0.1


def test_jitter_moments_are_torchvision_s():
    """Factors of brightness, contrast and saturation against ColorJitter's, whose steps come in random order."""
    batch = rand(1000, 1500, 3, 4, 4, **MIDDLE)
    torch.manual_seed(0)
    reference = v2.RandomApply([v2.ColorJitter(0.4, 0.4, 0.4, 0.0)], p=0.8)
    theirs = factors(batch, torch.stack([reference(image) for image in batch]))
    ours = factors(batch, only(jitter=0.4, jitter_p=0.8)(batch, stream()))
    for name in ("brightness", "contrast", "saturation"):
        assert ours[name].mean() == pytest.approx(theirs[name].mean(), abs=0.03), name
        assert ours[name].std() == pytest.approx(theirs[name].std(), abs=0.015), name
    assert ours["contrast"].std() == pytest.approx(0.4 / math.sqrt(3) * math.sqrt(0.8), abs=0.015)


def test_the_whole_chain_has_torchvision_s_moments():
    """Mean and spread of luma and chroma over smooth random images, after crop, flip, jitter and grayscale.

    Coarse on purpose: of crops, only their small effect through contrast is seen here."""
    batch = interpolate(rand(1000, 1500, 3, 4, 4, low=0.25, high=0.75), 32, mode="bilinear")
    torch.manual_seed(0)
    reference = v2.Compose(
        [
            v2.RandomResizedCrop(32, scale=(0.2, 1.0)),
            v2.RandomHorizontalFlip(),
            v2.RandomApply([v2.ColorJitter(0.4, 0.4, 0.4, 0.0)], p=0.8),
            v2.RandomGrayscale(0.2),
        ]
    )
    theirs = torch.stack([reference(image) for image in batch])
    ours = Augment(0.2, 0.5, 0.4, 0.0, 0.8, 0.2)(batch, stream())
    for name, statistic in {
        "mean": lambda x: x.mean((1, 2, 3)),
        "contrast": lambda x: x.std((2, 3)).mean(1),
        "colour": lambda x: (x - x.mean(1, keepdim=True)).abs().mean((1, 2, 3)),
    }.items():
        a, b = statistic(ours), statistic(theirs)
        assert float(a.mean()) == pytest.approx(float(b.mean()), rel=0.05), name
        assert float(a.std()) == pytest.approx(float(b.std()), rel=0.1), name
