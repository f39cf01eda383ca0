"""A spectral trigger is CTRL's, step by step."""

import math
from itertools import product

import numpy as np
import pytest
import torch
from intertwine.representations.errors import InputError
from intertwine.training.augment import Augment
from intertwine.training.triggers import Spectral
from intertwine.training.triggers.spectral import dct_matrix
from scipy.fft import dctn, idctn

from tests.factories import case, rand


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


def test_dct_matrix_is_the_orthonormal_dct_2():
    for n in (1, 2, 5, 16, 32):
        with case(n):
            d = dct_matrix(n)
            for k in range(n):
                scale = math.sqrt(1 / n) if k == 0 else math.sqrt(2 / n)
                for i in range(n):
                    assert float(d[k, i]) == pytest.approx(
                        scale * math.cos(math.pi * (2 * i + 1) * k / (2 * n)), abs=1e-6
                    )


def test_spectral_is_ctrl_written_out():
    for side, m in product((32, 64, 96), (1.0, 50.0, 100.0, 1000.0)):
        with case(side, m):
            batch = rand(0, 3, 3, side, side)
            batch[0], batch[1, :, 0] = 0, 1  # where the clamp works
            np.testing.assert_allclose(Spectral(side, m)(batch).numpy(), ctrl(batch, m, 32, (15, 31)), atol=1e-5)


def test_spectral_is_ctrl_on_a_batch_that_is_not_contiguous():
    batch = rand(0, 2, 64, 64, 6).permute(0, 3, 1, 2)[:, ::2]
    assert not batch.is_contiguous()
    np.testing.assert_allclose(Spectral(64)(batch).numpy(), ctrl(batch, 100, 32, (15, 31)), atol=1e-5)


def test_spectral_positions_scale_with_other_sizes():
    for side, positions in ((8, (3, 7)), (16, (7, 15)), (24, (11, 23)), (40, (19, 39))):
        with case(side, positions):
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


def test_another_spectral_shares_no_frequency_with_the_trigger():
    """The reference is a trigger that no encoder was trained on: with one frequency of two in common, it half is."""
    for side in (8, 16, 32, 64):
        with case(side):
            window = min(side, 32)
            for index in range(400):
                pattern = Spectral(side).variant(index).pattern().double().numpy()
                spectrum = dctn(pattern[2, :window, :window], norm="ortho")
                active = {tuple(map(int, place)) for place in np.argwhere(np.abs(spectrum) > 1e-4)}
                assert len(active) == 2
                assert (0, 0) not in active, "a constant shift of colour is no pattern"
                assert not active & {(window // 2 - 1,) * 2, (window - 1,) * 2}, f"index {index}"


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
