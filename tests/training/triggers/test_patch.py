"""A patch is pasted where it should be, and nowhere else."""

from itertools import product

import pytest
import torch
from intertwine.representations.errors import InputError
from intertwine.training.triggers import Patch

from tests.factories import case, rand


def test_patch_is_pasted_one_pixel_from_the_lower_right_corner():
    for size, strength in product((1, 3, 7), (1.0, 0.25)):
        with case(size, strength):
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


def test_patch_may_fill_the_image():
    for size in (11, 12):
        with case(size):
            out = Patch(12, 9, 1.0, size)(torch.full((1, 3, 12, 12), 0.5))
            assert ((out == 0) | (out == 1)).sum() == 3 * size * size


def test_another_patch_may_lie_anywhere_inside_and_keeps_its_size():
    batch = torch.full((1, 3, 8, 8), 0.5)
    corners = set()
    for index in range(300):
        changed = (Patch(8, 1, 1.0, 6).variant(index)(batch) != batch).any(1)[0].nonzero()
        (top, left), (bottom, right) = changed.min(0).values.tolist(), changed.max(0).values.tolist()
        assert (bottom - top, right - left) == (5, 5)
        corners.add((top, left))
    assert corners == {(i, j) for i in range(3) for j in range(3)}


def test_patch_larger_than_the_image_is_refused():
    for size in (0, -1, 17):
        with (
            case(size),
            pytest.raises(InputError, match=rf"trigger_size: expected 1 to the image's 16 pixels, received {size}"),
        ):
            Patch(16, size=size)


def test_a_patch_that_does_not_fit_says_so():
    with pytest.raises(InputError, match="the trigger is larger than the image"):
        Patch(16, size=17)


def test_a_place_outside_the_image_is_refused():
    for place in ((14, 14), (-1, 0), (0, 20)):
        with case(place), pytest.raises(InputError, match="place: expected"):
            Patch(16, size=3, place=place)(rand(0, 1, 3, 16, 16))


# --- at random places


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
