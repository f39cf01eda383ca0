"""Triggers add exactly what their papers say, leave their input alone, and have references of equal strength."""

import dataclasses
import math

import numpy as np
import pytest
import torch
from intertwine.representations.errors import InputError
from intertwine.training.augment import Augment
from intertwine.training.triggers import Blend, Patch, Sinusoid, Spectral, Warp
from intertwine.training.triggers.spectral import dct_matrix
from scipy.fft import dctn, idctn

from tests.factories import rand

KINDS = {
    "blend": Blend(16, 5, 0.3),
    "blend of 4 cells": Blend(16, 5, 0.3, 4),
    "patch": Patch(16, 5, 1.0, 5),
    "translucent patch": Patch(16, 5, 0.4, 3),
    "spectral 16": Spectral(16),
    "spectral 32": Spectral(32),
    "spectral 64": Spectral(64, 50.0),
    "spectral in luma": Spectral(32, 50.0, band="luma"),
    "sinusoid": Sinusoid(16),
    "upright sinusoid": Sinusoid(32, 20.0, 5, upright=True),
    "warp": Warp(16, 5),
    "patch anywhere": Patch(16, 5, 1.0, 5, "random"),
}


@pytest.fixture(params=KINDS, ids=str)
def trigger(request):
    return KINDS[request.param]


def ctrl(images: torch.Tensor, m: float, window: int, positions: tuple[int, ...]) -> np.ndarray:
    """CTRL's procedure step by step in float64, one image, channel and window at a time (science.md §4)."""
    results = []
    for image in images.double().numpy():
        r, g, b = (np.array(plane) * 255 for plane in image)
        y = 0.299 * r + 0.587 * g + 0.114 * b
        u = -0.147 * r - 0.289 * g + 0.436 * b
        v = 0.615 * r - 0.515 * g - 0.100 * b
        for plane in (u, v):
            for top in range(0, plane.shape[0], window):
                for left in range(0, plane.shape[1], window):
                    block = np.s_[top : top + window, left : left + window]
                    spectrum = dctn(plane[block], type=2, norm="ortho")
                    for p in positions:
                        spectrum[p, p] += m
                    plane[block] = idctn(spectrum, type=2, norm="ortho")
        rgb = [y + 1.14 * v, y - 0.396 * u - 0.581 * v, y + 2.029 * u]
        results.append(np.clip(np.stack(rgb) / 255, 0, 1))
    return np.stack(results)


# --- all kinds


def test_result_is_a_new_float_batch_in_range(trigger):
    side = trigger.image_size
    batch = torch.cat([rand(0, 5, 3, side, side), torch.zeros(1, 3, side, side), torch.ones(1, 3, side, side)])
    before = batch.clone()
    out = trigger(batch)
    assert torch.equal(batch, before), "the input is left as it was"
    assert out.data_ptr() != batch.data_ptr()
    assert (out.shape, out.dtype) == (batch.shape, torch.float32)
    assert out.min() >= 0
    assert out.max() <= 1
    assert not torch.equal(out, batch)


def test_every_image_is_treated_alike_whatever_the_strides(trigger):
    side = trigger.image_size
    wide = rand(0, 6, 3, 2 * side, 2 * side)
    plain = wide[:, :, ::2, ::2].clone()
    expected = trigger(plain)
    strided = {
        "every other pixel": wide[:, :, ::2, ::2],
        "channels last": plain.contiguous(memory_format=torch.channels_last),
        "transposed storage": plain.permute(3, 2, 1, 0).contiguous().permute(3, 2, 1, 0),
    }
    for name, batch in strided.items():
        assert not batch.is_contiguous(), name
        torch.testing.assert_close(trigger(batch), expected, atol=1e-6, rtol=0, msg=name)
    alone = torch.cat([trigger(plain[i : i + 1]) for i in range(6)])
    torch.testing.assert_close(alone, expected, atol=1e-6, rtol=0)
    shared = plain[:1].expand(4, -1, -1, -1)  # all four rows are the same memory: writing in place would show
    torch.testing.assert_close(trigger(shared), expected[:1].expand(4, -1, -1, -1), atol=1e-6, rtol=0)


def test_trigger_is_a_function_of_its_fields_only(trigger):
    batch = rand(0, 2, 3, trigger.image_size, trigger.image_size)
    torch.manual_seed(1)
    first = trigger(batch)
    torch.manual_seed(2)
    state = torch.get_rng_state()
    assert torch.equal(dataclasses.replace(trigger)(batch), first)
    assert torch.equal(torch.get_rng_state(), state), "the global stream is not used"


def test_no_device_is_together_with_another(trigger):
    assert trigger(torch.rand(2, 3, trigger.image_size, trigger.image_size, device="meta")).device.type == "meta"


@pytest.mark.parametrize("trigger", [Blend(16, 5), Blend(16, 5, cells=3), Patch(16, 5), Warp(16, 5)], ids=repr)
def test_pattern_depends_on_the_seed(trigger):
    batch = rand(0, 1, 3, 16, 16)
    others = {dataclasses.replace(trigger, seed=seed)(batch).numpy().tobytes() for seed in range(20)}
    assert len(others) == 20


def test_another_is_another_pattern_of_the_same_kind_and_strength(trigger):
    batch = torch.full((1, 3, trigger.image_size, trigger.image_size), 0.5)
    if isinstance(trigger, Warp):  # it moves what is there: how much that changes depends on the image
        batch = rand(0, 64, 3, trigger.image_size, trigger.image_size)
    own = trigger(batch) - batch
    seen = {own.numpy().tobytes()}
    for index in range(20):
        other = trigger.another(index)
        assert type(other) is type(trigger)
        assert other.strength == trigger.strength
        assert torch.equal(other(batch), trigger.another(index)(batch)), "the same index gives the same trigger"
        change = other(batch) - batch
        seen.add(change.numpy().tobytes())
        ratio = float(change.norm() / own.norm())
        # Exact for a spectral and, at mid-grey, a patch; 48 random colours have a norm of their own.
        tolerance = 0.25 if getattr(trigger, "cells", None) else 0.1 if isinstance(trigger, Blend) else 0.005
        tolerance = 0.35 if isinstance(trigger, Warp) else tolerance
        assert ratio == pytest.approx(1, abs=tolerance)
    assert len(seen) == 21


@pytest.mark.parametrize(
    "kind", [Blend(16, 5, 0.3), Patch(16, 5, 0.3), Spectral(16, 30.0), Sinusoid(16, 20.0)], ids=repr
)
def test_another_is_the_same_pattern_at_any_strength(kind):
    """Arms are compared at matched ASR by sweeping the strength: the reference must not change its pattern with it."""
    batch = torch.full((1, 3, 16, 16), 0.5)
    weak = kind.another(3)(batch) - batch
    strong = dataclasses.replace(kind, strength=kind.strength * 2).another(3)(batch) - batch
    torch.testing.assert_close(strong, 2 * weak, atol=0.01, rtol=0)


@pytest.mark.parametrize("make", [Blend, Patch, Spectral, Sinusoid, Warp])
@pytest.mark.parametrize("strength", [0, -1, 3000, float("nan"), float("inf")])
def test_strength_out_of_range_is_refused(make, strength):
    with pytest.raises(InputError, match=r"strength: expected .* received"):
        make(16, strength=strength)


@pytest.mark.parametrize("make", [Blend, Patch, Spectral, Sinusoid, Warp])
@pytest.mark.parametrize("side", [8, 32, 64])
def test_images_of_another_size_are_refused_with_one_line(make, side):
    """A patch for 16 pixels on an image of 32 would sit near the middle and still be called the same trigger."""
    with pytest.raises(InputError, match=r"16.*received"):
        make(16)(rand(0, 2, 3, side, side))


# --- blend


@pytest.mark.parametrize("strength", [0.05, 0.3, 0.5, 0.8, 1.0])
def test_blend_is_the_convex_combination(strength):
    trigger = Blend(8, 3, strength)
    pattern = trigger.pattern()
    batch = rand(0, 3, 3, 8, 8)
    out = trigger(batch)
    for n in range(3):
        for c in range(3):
            for i in range(8):
                for j in range(8):
                    expected = (1 - strength) * float(batch[n, c, i, j]) + strength * float(pattern[c, i, j])
                    assert float(out[n, c, i, j]) == pytest.approx(expected, abs=1e-6)


def test_blend_pattern_is_uniform_noise_in_colour():
    pattern = Blend(64, 1).pattern()
    assert pattern.shape == (3, 64, 64)
    assert pattern.min() >= 0
    assert pattern.max() <= 1
    assert float(pattern.mean()) == pytest.approx(1 / 2, abs=0.02)
    assert float(pattern.var()) == pytest.approx(1 / 12, abs=0.005)
    channels = np.corrcoef(pattern.flatten(1).numpy())
    assert np.abs(channels - np.eye(3)).max() < 0.06, "three colours, not grey"


@pytest.mark.parametrize(("side", "cells"), [(16, 4), (16, 1), (16, 16), (16, 5), (10, 3)])
def test_blend_cells_are_constant_squares(side, cells):
    pattern = Blend(side, 3, 0.2, cells).pattern()
    assert pattern.shape == (3, side, side)
    corner = {}
    for i in range(side):
        for j in range(side):
            cell = (math.floor(i * cells / side), math.floor(j * cells / side))
            colour = tuple(pattern[:, i, j].tolist())
            assert corner.setdefault(cell, colour) == colour
    assert len(corner) == len(set(corner.values())) == cells**2


@pytest.mark.parametrize("cells", [0, -1, 17])
def test_blend_refuses_other_cells(cells):
    with pytest.raises(InputError, match=rf"trigger_cells: expected 1 to the image's 16 pixels, received {cells}"):
        Blend(16, cells=cells)


# --- patch


@pytest.mark.parametrize("size", [1, 3, 7])
@pytest.mark.parametrize("strength", [1.0, 0.25])
def test_patch_is_pasted_one_pixel_from_the_lower_right_corner(size, strength):
    batch = rand(0, 4, 3, 12, 12, low=0.2, high=0.8)
    out = Patch(12, 9, strength, size)(batch)
    colours = set()
    for n in range(4):
        for c in range(3):
            for i in range(12):
                for j in range(12):
                    before, after = float(batch[n, c, i, j]), float(out[n, c, i, j])
                    if 12 - 1 - size <= i < 11 and 12 - 1 - size <= j < 11:
                        colour = (after - (1 - strength) * before) / strength
                        assert colour == pytest.approx(round(colour), abs=1e-5), "each channel is 0 or 1"
                        assert round(colour) in (0, 1)
                        colours.add((c, i, j, round(colour)))
                    else:
                        assert after == before
    assert len(colours) == 3 * size * size, "the same pattern on every image"


@pytest.mark.parametrize("size", [11, 12])
def test_patch_may_fill_the_image(size):
    out = Patch(12, 9, 1.0, size)(torch.full((1, 3, 12, 12), 0.5))
    assert ((out == 0) | (out == 1)).sum() == 3 * size * size


def test_another_patch_may_lie_anywhere_inside_and_keeps_its_size():
    batch = torch.full((1, 3, 8, 8), 0.5)
    corners = set()
    for index in range(300):
        changed = (Patch(8, 1, 1.0, 6).another(index)(batch) != batch).any(1)[0].nonzero()
        (top, left), (bottom, right) = changed.min(0).values.tolist(), changed.max(0).values.tolist()
        assert (bottom - top, right - left) == (5, 5)
        corners.add((top, left))
    assert corners == {(i, j) for i in range(3) for j in range(3)}


@pytest.mark.parametrize("size", [0, -1, 17])
def test_patch_larger_than_the_image_is_refused(size):
    with pytest.raises(InputError, match=rf"trigger_size: expected 1 to the image's 16 pixels, received {size}"):
        Patch(16, size=size)


def test_a_patch_that_does_not_fit_says_so():
    with pytest.raises(InputError, match="the trigger is larger than the image"):
        Patch(16, size=17)


@pytest.mark.parametrize("place", [(14, 14), (-1, 0), (0, 20)])
def test_a_place_outside_the_image_is_refused(place):
    with pytest.raises(InputError, match="place: expected"):
        Patch(16, size=3, place=place)(rand(0, 1, 3, 16, 16))


# --- spectral


@pytest.mark.parametrize("n", [1, 2, 5, 16, 32])
def test_dct_matrix_is_the_orthonormal_dct_2(n):
    d = dct_matrix(n)
    for k in range(n):
        scale = math.sqrt(1 / n) if k == 0 else math.sqrt(2 / n)
        for i in range(n):
            assert float(d[k, i]) == pytest.approx(scale * math.cos(math.pi * (2 * i + 1) * k / (2 * n)), abs=1e-6)


@pytest.mark.parametrize("side", [32, 64, 96])
@pytest.mark.parametrize("m", [1.0, 50.0, 100.0, 1000.0])
def test_spectral_is_ctrl_written_out(side, m):
    batch = rand(0, 3, 3, side, side)
    batch[0], batch[1, :, 0] = 0, 1  # where the clamp works
    np.testing.assert_allclose(Spectral(side, m)(batch).numpy(), ctrl(batch, m, 32, (15, 31)), atol=1e-5)


def test_spectral_is_ctrl_on_a_batch_that_is_not_contiguous():
    batch = rand(0, 2, 64, 64, 6).permute(0, 3, 1, 2)[:, ::2]
    assert not batch.is_contiguous()
    np.testing.assert_allclose(Spectral(64)(batch).numpy(), ctrl(batch, 100, 32, (15, 31)), atol=1e-5)


@pytest.mark.parametrize(("side", "positions"), [(8, (3, 7)), (16, (7, 15)), (24, (11, 23)), (40, (19, 39))])
def test_spectral_positions_scale_with_other_sizes(side, positions):
    batch = rand(0, 2, 3, side, side)
    np.testing.assert_allclose(Spectral(side)(batch).numpy(), ctrl(batch, 100, side, positions), atol=1e-5)


def test_spectral_pattern_has_two_coefficients_in_each_chroma_channel():
    r, g, b = (255 * plane for plane in Spectral(32, 80.0).pattern().double().numpy())
    u, v = (-0.147 * r - 0.289 * g + 0.436 * b), (0.615 * r - 0.515 * g - 0.100 * b)
    for plane in (u, v):
        spectrum = dctn(plane, norm="ortho")
        for k in range(32):
            for m in range(32):
                expected = 80 if (k, m) in ((15, 15), (31, 31)) else 0
                assert spectrum[k, m] == pytest.approx(expected, abs=0.15)  # the matrices are inverse to .0014


def test_spectral_of_100_moves_12_10_22_grey_levels_at_32_decibels():
    batch = torch.full((1, 3, 32, 32), 0.5)
    change = 255 * (Spectral(32)(batch) - batch).double()
    assert change.abs().amax((0, 2, 3)).tolist() == pytest.approx([12, 10, 22], abs=0.9)
    psnr = 10 * math.log10(255**2 / float(change.square().mean()))
    assert psnr == pytest.approx(32, abs=0.2)


def test_spectral_leaves_luma_alone_so_that_grayscale_removes_it():
    batch = rand(0, 4, 3, 32, 32, low=0.2, high=0.8)  # no value reaches the clamp
    out = Spectral(32)(batch)
    luma = torch.tensor([0.299, 0.587, 0.114]).view(3, 1, 1)
    assert 255 * ((out - batch) * luma).sum(1).abs().max() < 0.5
    assert 255 * (out - batch).abs().max() > 15
    stream = torch.Generator().manual_seed(0)
    gray = Augment(crop=1, flip=0, jitter=0, hue=0, jitter_p=0, grayscale=1)
    assert 255 * (gray(out, stream) - gray(batch, stream)).abs().max() < 0.5


def test_the_round_trip_moves_a_clean_pixel_by_at_most_half_a_grey_level():
    corners = torch.tensor([[r, g, b] for r in (0, 1) for g in (0, 1) for b in (0, 1)]).float()
    cube = corners.view(8, 3, 1, 1).expand(8, 3, 32, 32)
    moved = 255 * (Spectral(32, 1e-6)(cube) - cube).abs().max()  # linear: the worst colour is a corner
    assert 0.2 < moved < 0.5


@pytest.mark.parametrize("side", [8, 16, 32, 64])
def test_another_spectral_shares_no_frequency_with_the_trigger(side):
    """The reference is a trigger that no encoder was trained on: with one frequency of two in common, it half is."""
    window = min(side, 32)
    for index in range(400):
        pattern = Spectral(side).another(index).pattern().double().numpy()
        spectrum = dctn(pattern[2, :window, :window], norm="ortho")
        active = {tuple(map(int, place)) for place in np.argwhere(np.abs(spectrum) > 1e-4)}
        assert len(active) == 2
        assert (0, 0) not in active, "a constant shift of colour is no pattern"
        assert not active & {(window // 2 - 1,) * 2, (window - 1,) * 2}, f"index {index}"


# --- sinusoid


def test_sinusoid_is_the_wave_of_its_paper():
    """BackdoorBench: pattern[i, j] = delta·sin(2π·j·f/w), added and clipped on the 0–255 scale."""
    batch = rand(0, 2, 3, 16, 16)
    out = Sinusoid(16, 40.0, 6)(batch)
    for n in range(2):
        for c in range(3):
            for i in range(16):
                for j in range(16):
                    value = 255 * float(batch[n, c, i, j]) + 40 * math.sin(2 * math.pi * j * 6 / 16)
                    assert float(out[n, c, i, j]) == pytest.approx(min(255, max(0, value)) / 255, abs=1e-6)
    torch.testing.assert_close(Sinusoid(16, upright=True).pattern(), Sinusoid(16).pattern().mT)


@pytest.mark.parametrize("frequency", [0, 8, 9])
def test_a_wave_that_the_pixels_cannot_hold_is_refused(frequency):
    with pytest.raises(InputError, match="frequency: expected 1 to 7 cycles in 16 pixels"):
        Sinusoid(16, 40.0, frequency)


def test_another_sinusoid_is_at_right_angles():
    own = Sinusoid(16)
    for index in range(10):
        assert float((own.pattern() * own.another(index).pattern()).sum()) == pytest.approx(0, abs=1e-4)


# --- warp


def test_warp_takes_each_pixel_from_where_the_grid_says():
    """By hand: bilinear, corners aligned, 0 outside; the field has mean absolute value 1 before it is interpolated."""
    trigger, batch = Warp(8, 3, 2.0), rand(0, 1, 3, 8, 8)
    out, grid = trigger(batch), trigger.grid().double()
    for i in range(8):
        for j in range(8):
            x, y = (float(v + 1) / 2 * 7 for v in grid[i, j])
            left, top = min(int(x), 6), min(int(y), 6)
            a, b = x - left, y - top
            for c in range(3):
                p = batch[0, c, top : top + 2, left : left + 2].double()
                value = (1 - b) * ((1 - a) * p[0, 0] + a * p[0, 1]) + b * ((1 - a) * p[1, 0] + a * p[1, 1])
                assert float(out[0, c, i, j]) == pytest.approx(float(value), abs=1e-5)


def test_warp_moves_pixels_by_about_a_third_of_its_strength_and_leaves_flat_images():
    flat = torch.full((1, 3, 32, 32), 0.3)
    torch.testing.assert_close(Warp(32, 1)(flat), flat)
    ramp = torch.linspace(-1, 1, 32)
    identity = torch.stack(torch.meshgrid(ramp, ramp, indexing="xy"), dim=2)
    moved = torch.stack([(Warp(32, seed).grid() - identity).abs().mean() * 31 / 2 for seed in range(50)])
    assert float(moved.mean()) == pytest.approx(0.17, abs=0.02)  # of strength .5


def test_warps_of_the_same_field_grow_with_the_strength():
    ramp = torch.linspace(-1, 1, 32)
    identity = torch.stack(torch.meshgrid(ramp, ramp, indexing="xy"), dim=2)[4:-4, 4:-4]
    weak, strong = (Warp(32, 1, s).grid()[4:-4, 4:-4] - identity for s in (0.5, 1.0))
    torch.testing.assert_close(strong, 2 * weak, atol=1e-5, rtol=0)


# --- patches anywhere, luma


def test_a_patch_at_random_places_stays_in_the_middle_and_goes_with_the_image():
    trigger, batch = Patch(32, 1, 1.0, 6, "random"), rand(0, 200, 3, 32, 32)
    changed = (trigger(batch) != batch).any(1)
    places = set()
    for mask in changed:
        rows, columns = mask.any(1).nonzero().flatten(), mask.any(0).nonzero().flatten()
        assert mask.sum() == 36
        assert (int(rows[-1] - rows[0]), int(columns[-1] - columns[0])) == (5, 5)
        assert min(int(rows[0]), int(columns[0])) >= 8
        assert max(int(rows[-1]), int(columns[-1])) < 24
        places.add((int(rows[0]), int(columns[0])))
    assert len(places) > 60  # of 121
    order = torch.randperm(200, generator=torch.Generator().manual_seed(0))
    assert torch.equal(trigger(batch[order]), trigger(batch)[order])


def test_a_patch_too_large_to_move_is_refused():
    with pytest.raises(InputError, match="trigger_size: expected at most half"):
        Patch(16, size=9, place="random")
    with pytest.raises(InputError, match="place: expected top and left, or random, received 'anywhere'"):
        Patch(16, place="anywhere")


def test_a_luma_trigger_is_grey_and_survives_grayscale():
    pattern = Spectral(32, band="luma").pattern()
    torch.testing.assert_close(pattern[0], pattern[1])
    torch.testing.assert_close(pattern[0], pattern[2])
    luma = torch.tensor([0.299, 0.587, 0.114])
    assert torch.einsum("chw,c->hw", pattern, luma).abs().max() > 0.03
    chroma = torch.einsum("chw,c->hw", Spectral(32).pattern(), luma)
    assert chroma.abs().max() < 0.005
    with pytest.raises(InputError, match="trigger_band: expected chroma or luma, received 'red'"):
        Spectral(32, band="red")
