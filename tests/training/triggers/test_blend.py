"""A blend is the convex combination with its pattern."""

import math

import numpy as np
import pytest
from intertwine.representations.errors import InputError
from intertwine.training.triggers import Blend

from tests.factories import case, rand


def test_blend_is_the_convex_combination():
    for strength in (0.05, 0.3, 0.5, 0.8, 1.0):
        with case(strength):
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


def test_blend_cells_are_constant_squares():
    for side, cells in ((16, 4), (16, 1), (16, 16), (16, 5), (10, 3)):
        with case(side, cells):
            pattern = Blend(side, 3, 0.2, cells).pattern()
            assert pattern.shape == (3, side, side)
            corner = {}
            for i in range(side):
                for j in range(side):
                    cell = (math.floor(i * cells / side), math.floor(j * cells / side))
                    colour = tuple(pattern[:, i, j].tolist())
                    assert corner.setdefault(cell, colour) == colour
            assert len(corner) == len(set(corner.values())) == cells**2


def test_blend_refuses_other_cells():
    for cells in (0, -1, 17):
        with (
            case(cells),
            pytest.raises(InputError, match=rf"trigger_cells: expected 1 to the image's 16 pixels, received {cells}"),
        ):
            Blend(16, cells=cells)
