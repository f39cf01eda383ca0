"""Where a map has its evidence: pixels against a mask, energy at frequencies; both by hand and at chance."""

from itertools import combinations

import pytest
import torch
from intertwine.probes.attribution_scores import changed_pixels, frequency_energy, trigger_localisation
from intertwine.representations import InputError
from intertwine.training.triggers import Blend, Spectral

from tests.factories import case, rand, randn32, square

# --- localisation scores


@pytest.mark.parametrize("size", [1, 3, 5])
def test_chance_and_ties_are_means_over_all_draws(size):
    inside = set(range(size))
    mask = torch.zeros(9, dtype=torch.bool)
    mask[:size] = True
    mask = mask.view(3, 3)

    def mean_iou(sets) -> float:
        scores = [len(inside & s) / len(inside | s) for s in map(set, sets)]
        return sum(scores) / len(scores)

    found = trigger_localisation(torch.full((1, 3, 3), 0.3), mask)
    expected = mean_iou(combinations(range(9), size))
    assert float(found.chance_iou) == pytest.approx(expected)
    assert float(found.iou) == pytest.approx(expected)
    assert float(found.chance_energy) == pytest.approx(size / 9)
    # One pixel inside on top, all others tied.
    tied = torch.full((1, 3, 3), 0.3)
    tied[0, 0, 0] = -0.9
    expected = mean_iou({0, *rest} for rest in combinations(range(1, 9), size - 1))
    assert float(trigger_localisation(tied, mask).iou) == pytest.approx(expected)


def test_localisation_by_hand():
    maps = torch.zeros(2, 3, 2, 2)
    maps[0, 0] = torch.tensor([[3.0, 1.0], [0.0, 0.0]])
    maps[0, 1] = torch.tensor([[-4.0, 0.0], [2.0, 0.0]])
    maps[1, 2] = torch.tensor([[0.0, 1.0], [0.0, 5.0]])
    mask = torch.tensor([[[True, False], [True, False]], [[True, False], [False, False]]])
    found = trigger_localisation(maps, mask)
    assert found.iou.tolist() == [1.0, 0.0]
    assert found.energy.tolist() == pytest.approx([29 / 30, 0.0])
    assert found.chance_energy.tolist() == [0.5, 0.25]
    # Half of two pixels: one of three.
    assert trigger_localisation(maps[:1], torch.tensor([[True, False], [False, True]])).iou.item() == pytest.approx(
        1 / 3
    )


@pytest.mark.parametrize("scale", [1e-300, -1e-20, 1e200])
def test_localisation_does_not_see_scale_or_sign(scale):
    maps, mask = randn32(0, 20, 3, 8, 8).double(), square(1, 2, 3, side=8)
    first, second = trigger_localisation(maps, mask), trigger_localisation(maps * scale, mask)
    torch.testing.assert_close(second.iou, first.iou)
    torch.testing.assert_close(second.energy, first.energy)


def test_localisation_where_nothing_can_be_said():
    maps = torch.stack([torch.zeros(4, 4), rand(0, 4, 4), rand(1, 4, 4)])
    mask = torch.stack([square(0, 0, 2, side=4), square(0, 0, 0, side=4), square(0, 0, 4, side=4)])
    found = trigger_localisation(maps, mask)
    assert found.iou.isnan().tolist() == found.energy.isnan().tolist() == [True, True, False]
    assert found.chance_iou.isnan().tolist() == found.chance_energy.isnan().tolist() == [False, True, False]
    assert found.iou[2] == found.energy[2] == found.chance_iou[2] == found.chance_energy[2] == 1


def test_changed_pixels():
    clean = rand(0, 3, 3, 16, 16)
    assert torch.equal(changed_pixels(clean, clean), torch.zeros(3, 16, 16, dtype=torch.bool))
    other = clean.clone()
    other[1, 2, 3, 4] += 0.1
    assert changed_pixels(clean, other).nonzero().tolist() == [[1, 3, 4]]
    assert not changed_pixels(clean, other, threshold=0.2).any()
    low = torch.zeros(1, 3, 2, 2, dtype=torch.uint8)
    assert changed_pixels(low + 255, low).all()
    assert changed_pixels(clean, Blend(16)(clean)).float().mean() > 0.9


# --- frequencies


@pytest.mark.parametrize("side", [16, 32, 64])
def test_the_trigger_itself_has_all_its_energy_there(side):
    trigger = Spectral(side)
    pattern = trigger.pattern().unsqueeze(0)
    found = frequency_energy(pattern, trigger.places, trigger.window)
    assert found.share.item() == pytest.approx(1, abs=1e-6)
    assert found.chance == 2 / trigger.window**2
    other = frequency_energy(pattern, trigger.variant(1).places, trigger.window)
    assert other.share.item() < 1e-6


def test_white_noise_has_the_chance_share():
    found = frequency_energy(randn32(0, 200, 3, 16, 16), [(1, 2), (3, 4), (7, 7)], 8)
    # 200·3·4 windows of 3 numbers, each χ²(1)-distributed.
    assert found.share.mean().item() == pytest.approx(found.chance, rel=4 * (2 / 7200) ** 0.5)
    assert found.chance == 3 / 64


def test_frequency_energy_by_cosines():
    x = randn32(0, 2, 6, 4).double()
    energy = torch.zeros(2)
    total = (x**2).sum((1, 2))
    for n in range(2):
        for top, left in [(t, s) for t in (0, 2, 4) for s in (0, 2)]:
            # The 2 × 2 transform at (0, 1): sums of rows, difference of columns, over 2.
            (a, b), (c, d) = x[n, top : top + 2, left : left + 2].tolist()
            energy[n] += ((a + c - b - d) / 2) ** 2
    torch.testing.assert_close(frequency_energy(x, [(0, 1)], 2).share, energy / total)
    both = frequency_energy(x, [(0, 1), (0, 1)], 2)  # a place given twice counts once
    torch.testing.assert_close(both.share, energy / total)
    assert frequency_energy(torch.zeros(1, 2, 2), [(0, 1)], 2).share.isnan().all()
    tiny = frequency_energy(x * 1e-200, [(0, 1)], 2)
    torch.testing.assert_close(tiny.share, energy / total)


def test_bad_maps():
    for maps, mask, message in (
        (torch.ones(4, 4), square(0, 0, 2, side=4), "maps"),
        (torch.ones(0, 4, 4), square(0, 0, 2, side=4), "maps"),
        (torch.full((1, 4, 4), float("inf")), square(0, 0, 2, side=4), "finite"),
        (torch.ones(1, 4, 4), square(0, 0, 2, side=5), "mask"),
        (torch.ones(1, 4, 4), torch.ones(4, 4), "mask: expected bool"),
    ):
        with case(message), pytest.raises(InputError, match=message):
            trigger_localisation(maps, mask)


def test_bad_frequencies():
    for maps, positions, window, message in (
        (torch.ones(4, 4), [(0, 1)], 4, "maps"),
        (torch.full((1, 4, 4), float("nan")), [(0, 1)], 4, "finite"),
        (torch.ones(1, 4, 4), [(0, 1)], 3, "window"),
        (torch.ones(1, 4, 4), [(0, 4)], 4, "positions"),
        (torch.ones(1, 4, 4), [], 4, "positions"),
    ):
        with case(message), pytest.raises(InputError, match=message):
            frequency_energy(maps, positions, window)


def test_bad_pairs():
    with pytest.raises(InputError, match="triggered"):
        changed_pixels(torch.zeros(1, 3, 4, 4), torch.zeros(2, 3, 4, 4))
    with pytest.raises(InputError, match="triggered"):
        changed_pixels(torch.zeros(1, 3, 4, 4), torch.zeros(1, 3, 4, 4, dtype=torch.uint8))
