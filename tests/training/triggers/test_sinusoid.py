"""A sinusoid is the wave of its paper."""

import math

import pytest
import torch
from intertwine.representations.errors import InputError
from intertwine.training.recipe import Recipe
from intertwine.training.triggers import Sinusoid

from tests.factories import case, rand


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


def test_a_wave_that_the_pixels_cannot_hold_is_refused():
    for frequency in (0, 8, 9):
        with case(frequency), pytest.raises(InputError, match="trigger_frequency: expected 1 to 7 cycles in 16 pixels"):
            Sinusoid(16, 40.0, frequency)


def test_another_sinusoid_is_at_right_angles():
    own = Sinusoid(16)
    for index in range(10):
        assert float((own.pattern() * own.variant(index).pattern()).sum()) == pytest.approx(0, abs=1e-4)


def test_the_seed_draws_direction_and_phase():
    waves = [Sinusoid(16, 40.0, 3).turned(seed) for seed in range(40)]
    assert {wave.upright for wave in waves} == {False, True}
    assert len({wave.phase for wave in waves}) == 40
    assert all((wave.strength, wave.frequency) == (40.0, 3) for wave in waves)
    assert waves[5] == Sinusoid(16, 40.0, 3).turned(5)


def test_a_recipe_keeps_the_wave_on_request():
    drawn, fixed = (Recipe(trigger="sinusoid", seed=4, trigger_wave=wave) for wave in ("seed", "fixed"))
    assert fixed.make_trigger() == Sinusoid(16)
    assert drawn.make_trigger() != fixed.make_trigger()
    assert drawn.make_trigger() == drawn.make_trigger(test=True) == drawn.replace(arm="supcon-dirty").make_trigger()
    assert drawn.make_trigger() != drawn.replace(seed=5).make_trigger()
