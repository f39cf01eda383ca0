"""A warp takes each pixel from where its grid says."""

import pytest
import torch
from intertwine.training.triggers import Warp

from tests.factories import rand


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
