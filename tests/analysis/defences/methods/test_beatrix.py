"""Beatrix: Gram matrices of maps beside those of clean images."""

import pytest
import torch
from intertwine.analysis.defences import beatrix
from intertwine.analysis.defences.methods.beatrix import gram_powers
from intertwine.representations.errors import InputError

from tests.analysis.defences.planted import (
    CLASSES,
    as_maps,
    must_find_a_group_apart,
    must_flag_few_where_nothing_is_poisoned,
    planted,
)


def detect(x, labels):
    clean, clean_labels, _ = planted(0, 0, seed=101)
    return beatrix(as_maps(x), labels, as_maps(clean), clean_labels)


def test_a_group_apart_is_found():
    must_find_a_group_apart(detect, 0.95)


def test_where_there_is_no_poison_few_are_flagged():
    must_flag_few_where_nothing_is_poisoned(detect, 0.15)


def test_gram_powers_by_the_slow_formula():
    """Σ over places of (f_i f_j)^p, its p-th root with the sign kept, entry by entry."""
    x = torch.randn(3, 4, 2, 3, generator=torch.Generator().manual_seed(0)).double()
    for power in (1, 2, 3):
        found = gram_powers(x, power)
        for n in range(3):
            entries = iter(found[n].tolist())
            for i in range(4):
                for j in range(i, 4):
                    total = sum(float(x[n, i, a, b] * x[n, j, a, b]) ** power for a in range(2) for b in range(3))
                    assert next(entries) == pytest.approx(abs(total) ** (1 / power) * (1 if total > 0 else -1))


def test_orders_differ_where_maps_have_places():
    x = torch.rand(2, 3, 4, 4, generator=torch.Generator().manual_seed(0))
    assert not torch.allclose(gram_powers(x, 1), gram_powers(x, 4))
    one_place = x[..., :1, :1]
    torch.testing.assert_close(gram_powers(one_place, 1), gram_powers(one_place, 4))


def test_it_keeps_its_false_alarms():
    shares = []
    for seed in range(4):
        clean, clean_labels, _ = planted(0, 0, seed=50 + seed)
        x, labels, _ = planted(0, 0, seed=150 + seed)
        shares.append(beatrix(as_maps(x), labels, as_maps(clean), clean_labels).flagged.double().mean())
    assert 0.01 < float(torch.stack(shares).mean()) < 0.12


def test_an_images_score_does_not_hang_on_the_others():
    clean, clean_labels, _ = planted(0, 0, seed=50)
    x, labels, _ = planted(12.0, 12)
    both = beatrix(as_maps(x), labels, as_maps(clean), clean_labels)
    alone = beatrix(as_maps(x[:1]), labels[:1], as_maps(clean), clean_labels)
    torch.testing.assert_close(both.scores[:1], alone.scores)


def test_a_group_without_clean_images_is_held_against_all_of_them():
    """k-means may put all poisons, and nothing else, into one cluster."""
    clean, clean_labels, _ = planted(0, 0, seed=50)
    x, labels, mask = planted(12.0, 12)
    labels = torch.where(mask, CLASSES, labels)
    found = beatrix(as_maps(x), labels, as_maps(clean), clean_labels)
    assert found.flagged[mask].all()


def test_what_it_refuses():
    x, labels, _ = planted(0, 0)
    with pytest.raises(InputError, match=r"clean: expected at least 8 maps \(n, c, h, w\)"):
        beatrix(as_maps(x), labels, as_maps(x)[:7], labels[:7])
    with pytest.raises(InputError, match=r"maps: expected at least 1 maps \(n, c, h, w\)"):
        beatrix(x, labels, x, labels)
