"""Encoders that see luminance only, or a blur."""

import torch
from intertwine.analysis.defences import blurred, luminance_only

from tests.analysis.defences.planted import halves
from tests.factories import small_encoder


def test_luminance_is_what_a_grey_image_gives():
    e, (x, _) = small_encoder(8, 16).eval(), halves()
    seen = luminance_only(e)
    x = x.float() / 255
    x[:, 0] *= 0.5  # colour
    grey = (x * torch.tensor([0.299, 0.587, 0.114]).view(1, 3, 1, 1)).sum(1, keepdim=True).expand_as(x)
    torch.testing.assert_close(seen(x), e(grey), atol=1e-5, rtol=1e-4)
    assert (seen(x) - e(x)).abs().max() > 1e-3
    assert seen.layers == e.layers


def test_a_blur_takes_fine_patterns_and_leaves_flat_images():
    e = small_encoder(8, 16).eval()
    flat = torch.full((2, 3, 16, 16), 0.4)
    checker = flat + 0.3 * (torch.arange(16)[:, None] + torch.arange(16)).remainder(2).sub(0.5)
    seen = blurred(e, sigma=2.0)
    torch.testing.assert_close(seen(flat), e(flat), atol=1e-5, rtol=1e-4)
    inner = (seen(checker) - e(flat)).norm() / (e(checker) - e(flat)).norm()
    assert inner < 0.2
