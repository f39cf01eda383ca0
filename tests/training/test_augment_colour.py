"""Brightness, contrast, saturation, hue and grey: factors measured from luma and chroma, and torchvision's moments."""

import math

import numpy as np
import pytest
import torch
from intertwine.training.augment import Augment
from scipy.stats import kstest
from torch.nn.functional import interpolate
from torchvision.transforms import v2

from tests.factories import rand, stream
from tests.training.augmented import LUMA, only

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
