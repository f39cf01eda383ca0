"""The learning rate along its cosines, and the epochs of the snapshots."""

import math
from itertools import product

import pytest
from intertwine.training import Recipe
from intertwine.training.schedule import learning_rate, snapshot_schedule

from tests.factories import case


def test_learning_rate_rises_and_falls_along_cosines():
    """One-cycle: from lr/25 at step 0 to lr at the end of the warm-up to lr/10⁴ at the last step."""
    for warmup, steps in product((0.0, 0.1, 0.3, 0.5, 0.9), (10, 40, 1000)):
        with case(warmup, steps):
            r = Recipe(lr=0.5, warmup=warmup)
            rates = [learning_rate(r, step, steps) for step in range(steps)]
            top = warmup * steps
            assert rates[0] == pytest.approx(0.5 / 25 if warmup else 0.5)
            assert rates[0] > 0, "a defect seen elsewhere: the first epoch at rate 0"
            for step, rate in enumerate(rates):
                if step < top:
                    expected = 0.02 + (0.5 - 0.02) * 0.5 * (1 - math.cos(math.pi * step / top))
                elif steps - 1 - top < 1:
                    expected = 0.5  # the warm-up takes all steps: nothing is left to fall in
                else:
                    expected = 5e-5 + (0.5 - 5e-5) * 0.5 * (1 + math.cos(math.pi * (step - top) / (steps - 1 - top)))
                assert rate == pytest.approx(expected, rel=1e-9)
                assert rate <= 0.5
            rise, fall = rates[: math.ceil(top)], rates[math.ceil(top) :]
            assert rise == sorted(rise)
            assert fall == sorted(fall, reverse=True)
            if steps - 1 - top >= 1:
                assert rates[-1] == pytest.approx(5e-5)


def test_learning_rate_of_few_steps_stays_in_range():
    for steps, warmup in product((1, 2, 3, 7), (0.0, 0.3, 0.5, 0.85, 0.999)):
        with case(steps, warmup):
            for step in range(steps):
                assert 0 < learning_rate(Recipe(lr=0.1, warmup=warmup), step, steps) <= 0.1


def test_snapshot_schedule_doubles_goes_on_in_steps_and_ends_with_the_last():
    for epochs, expected in (
        (1, [1]),
        (2, [1, 2]),
        (3, [1, 2, 3]),
        (8, [1, 2, 3, 4, 5, 6, 7, 8]),
        (9, [1, 2, 4, 6, 8, 9]),
        (40, [1, 2, 4, 8, 10, 15, 20, 25, 30, 35, 40]),
        (800, [1, 2, 4, 8, 16, 32, 64, 128, *range(200, 801, 100)]),
    ):
        with case(epochs, expected):
            assert snapshot_schedule(epochs) == expected
