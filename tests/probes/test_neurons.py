"""Neuron overlap against loops over units and images, on planted units, and where there is little to say."""

import copy
from math import isnan, sqrt

import pytest
import torch
from intertwine.probes.neurons import neuron_overlap, neuron_overlap_masked, unit_profiles
from intertwine.probes.nulls import jackknife_interval
from intertwine.representations import InputError

from tests.factories import case, randn

TARGET = 2


def features(seed: int = 0, n: int = 60, d: int = 12, classes: int = 4) -> tuple[torch.Tensor, ...]:
    """Clean and triggered features of units of different spread, and labels; nothing planted but class means."""
    labels = torch.arange(n) % classes
    spread = torch.linspace(0.2, 5, d, dtype=torch.float64)
    clean = (randn(100, classes, d)[labels] + randn(seed, n, d)) * spread + 3
    return clean, clean + (0.5 * randn(200, 1, d) + 0.2 * randn(seed + 1, n, d)) * spread, labels


def planted(trigger_units, class_units, n: int = 80, d: int = 20, noise: float = 0.0) -> tuple[torch.Tensor, ...]:
    """The trigger raises ``trigger_units`` by 2 sds, the target class ``class_units`` by 3: exactly, if there is no
    noise between the groups' means."""
    labels = torch.where(torch.arange(n) < n // 4, TARGET, 0)
    x = randn(1, n, d)
    for c in (0, TARGET):
        x[labels == c] -= (1 - noise) * x[labels == c].mean(0)
    x[:, class_units] += 3 * (labels == TARGET).double().unsqueeze(1)
    triggered = x.clone()
    triggered[:, trigger_units] += 2
    return x, triggered, labels


def profiles_by_loops(clean, triggered, labels, target) -> tuple[list[float], list[float]]:
    raised_by_trigger, raised_by_class = [], []
    for j in range(clean.shape[1]):
        column, moved = clean[:, j].tolist(), triggered[:, j].tolist()
        squares, freedom = 0.0, 0
        for c in sorted(set(labels.tolist())):
            own = [v for v, label in zip(column, labels.tolist(), strict=True) if label == c]
            squares += sum((v - sum(own) / len(own)) ** 2 for v in own)
            freedom += len(own) - 1
        sd = sqrt(squares / freedom)
        others = [i for i, label in enumerate(labels.tolist()) if label != target]
        targets = [i for i, label in enumerate(labels.tolist()) if label == target]
        change = sum(moved[i] - column[i] for i in others) / len(others)
        contrast = sum(column[i] for i in targets) / len(targets) - sum(column[i] for i in others) / len(others)
        raised_by_trigger.append(change / sd)
        raised_by_class.append(contrast / sd)
    return raised_by_trigger, raised_by_class


def cosine(a: list[float], b: list[float]) -> float:
    return sum(x * y for x, y in zip(a, b, strict=True)) / sqrt(sum(x * x for x in a) * sum(y * y for y in b))


# --- what it computes


@pytest.mark.parametrize("k", [1, 3, 12])
def test_every_number_by_loops(k):
    clean, triggered, labels = features()
    first, second = profiles_by_loops(clean, triggered, labels, TARGET)
    found = neuron_overlap(clean, triggered, labels, TARGET, k=k)
    assert found.value == float(found) == pytest.approx(cosine(first, second))
    a, b = (sorted(range(12), key=lambda j, p=p: -p[j])[:k] for p in (first, second))
    assert found.trigger_units.tolist() == a
    assert found.class_units.tolist() == b
    assert found.jaccard == pytest.approx(len(set(a) & set(b)) / len(set(a) | set(b)))
    got = unit_profiles(clean, triggered, labels, TARGET, torch.ones(1, 60, dtype=torch.bool))
    assert got[0][0].tolist() == pytest.approx(first)
    assert got[1][0].tolist() == pytest.approx(second)


def test_classes_of_unequal_size_and_any_name():
    clean, triggered, _ = features()
    labels = torch.tensor([7] * 5 + [-3] * 40 + [100] * 15)
    first, second = profiles_by_loops(clean, triggered, labels, 100)
    assert neuron_overlap(clean, triggered, labels, 100).value == pytest.approx(cosine(first, second))


def test_the_targets_own_triggered_images_do_not_count():
    clean, triggered, labels = features()
    other = triggered.clone()
    other[labels == TARGET] += 50
    first, second = (neuron_overlap(clean, t, labels, TARGET).value for t in (triggered, other))
    assert first == second


# --- planted units


def test_shared_units():
    found = neuron_overlap(*planted(range(4), range(4)), TARGET, k=4)
    assert found.value > 0.98  # not 1: the sds differ a little between units, and so do 2/sd and 3/sd, but alike
    assert found.jaccard == 1
    assert set(found.trigger_units.tolist()) == set(found.class_units.tolist()) == {0, 1, 2, 3}


def test_disjoint_units():
    found = neuron_overlap(*planted(range(4), range(4, 8)), TARGET, k=4)
    assert found.value == pytest.approx(0, abs=1e-12)
    assert found.jaccard == 0


def test_a_trigger_that_switches_the_classs_units_off():
    clean, triggered, labels = planted(range(4), range(4))
    assert neuron_overlap(clean, 2 * clean - triggered, labels, TARGET).value < -0.98


@pytest.mark.parametrize("shared", range(5))
def test_it_follows_the_number_of_shared_units(shared):
    """m of 4 units in common, all as loud as each other: cosine m/4, overlap m/(8 − m)."""
    found = neuron_overlap(*planted(range(4), range(4 - shared, 8 - shared), n=2000), TARGET, k=4)
    assert found.value == pytest.approx(shared / 4, abs=0.02)
    assert found.jaccard == pytest.approx(shared / (8 - shared))


def test_a_loud_unit_counts_in_its_own_sds():
    """Without standardisation the one unit of large scale, which both move by a hundredth of its sd, would decide."""
    clean, triggered, labels = planted(range(4), range(4, 8))
    clean[:, 19], triggered[:, 19] = 1e4 * clean[:, 19], 1e4 * triggered[:, 19] + 100
    assert neuron_overlap(clean, triggered, labels, TARGET).value == pytest.approx(0, abs=0.02)


@pytest.mark.parametrize("shared", [0, 2])
def test_the_jackknife_holds_the_planted_cosine(shared):
    """The value is smooth in the images' means: its intervals are honest. (The list overlap's could not be.)"""
    labels = torch.where(torch.arange(300) < 75, TARGET, 0)
    covered = 0
    for seed in range(40):
        x = randn(seed, 300, 20)
        x[:, :4] += 3 * (labels == TARGET).double().unsqueeze(1)
        triggered = x + 0.5 * randn(1000 + seed, 300, 20)
        triggered[:, 4 - shared : 8 - shared] += 2

        def statistic(keep, x=x, triggered=triggered):
            return neuron_overlap_masked(x, triggered, labels, TARGET, keep)

        low, high = jackknife_interval(statistic, 300, seed=seed)
        covered += low <= shared / 4 <= high
    assert covered >= 34  # of 40; below 34 has probability .003 at 95 %


# --- invariances


@pytest.mark.parametrize("scale", [1e-12, 1e6])
@pytest.mark.parametrize("shift", [0.0, 1e5])
def test_scale_and_shift_of_the_features_change_nothing(scale, shift):
    clean, triggered, labels = features()
    before = neuron_overlap(clean, triggered, labels, TARGET)
    after = neuron_overlap(scale * (clean + shift), scale * (triggered + shift), labels, TARGET)
    assert after.value == pytest.approx(before.value, abs=1e-8)
    assert after.jaccard == before.jaccard
    assert after.trigger_units.tolist() == before.trigger_units.tolist()


def test_the_order_of_units_and_images_changes_nothing_and_a_rotation_does():
    clean, triggered, labels = features()
    value = neuron_overlap(clean, triggered, labels, TARGET).value
    units, images = torch.randperm(12, generator=torch.Generator().manual_seed(0)), torch.arange(59, -1, -1)
    again = neuron_overlap(clean[images][:, units], triggered[images][:, units], labels[images], TARGET)
    assert again.value == pytest.approx(value)
    rotation = torch.linalg.qr(randn(3, 12, 12)).Q
    assert abs(neuron_overlap(clean @ rotation, triggered @ rotation, labels, TARGET).value - value) > 0.02


def test_the_precision_of_the_input_does_not_matter():
    clean, triggered, labels = features()
    clean, triggered = clean.float(), triggered.float()
    copies = copy.deepcopy((clean, triggered, labels))
    value = neuron_overlap(clean, triggered, labels, TARGET).value
    assert value == neuron_overlap(clean.double(), triggered.double(), labels, TARGET).value
    assert all(torch.equal(x, y) for x, y in zip((clean, triggered, labels), copies, strict=True))


# --- subsets


def test_of_kept_is_the_same_on_the_images_that_are_left():
    clean, triggered, labels = features()
    keep = torch.rand(8, 60, generator=torch.Generator().manual_seed(0)) < 0.6
    keep[7] = labels != 0  # a whole class left out
    found = neuron_overlap_masked(clean, triggered, labels, TARGET, keep)
    assert found.dtype == torch.float64
    for value, kept in zip(found.tolist(), keep, strict=True):
        assert value == pytest.approx(neuron_overlap(clean[kept], triggered[kept], labels[kept], TARGET).value)


def test_a_subset_without_targets_or_without_others_has_no_value():
    clean, triggered, labels = features()
    keep = torch.stack([labels != TARGET, labels == TARGET, torch.zeros(60, dtype=torch.bool), labels >= 0])
    assert neuron_overlap_masked(clean, triggered, labels, TARGET, keep).isnan().tolist() == [True, True, True, False]


# --- little to say


def test_a_trigger_that_moves_nothing_has_no_value():
    clean, _, labels = features()
    found = neuron_overlap(clean, clean, labels, TARGET)
    assert isnan(found.value)
    assert isnan(found.jaccard)


def test_constant_features_and_classes_of_one_image_have_no_value():
    clean, triggered, labels = features()
    assert isnan(neuron_overlap(torch.ones(60, 12), torch.ones(60, 12) + 1, labels, TARGET).value)
    assert isnan(neuron_overlap(clean[:4], triggered[:4], labels[:4], TARGET).value)


def test_a_constant_unit_that_nothing_moves_changes_nothing():
    clean, triggered, labels = features()
    idle = torch.full((60, 1), 3.3, dtype=torch.float64)
    found = neuron_overlap(torch.cat([clean, idle], 1), torch.cat([triggered, idle], 1), labels, TARGET)
    assert found.value == pytest.approx(neuron_overlap(clean, triggered, labels, TARGET).value)
    assert 12 not in found.class_units


def test_fewer_images_than_units_and_duplicates():
    clean, triggered, labels = features(n=12, d=40)
    value = neuron_overlap(clean, triggered, labels, TARGET).value
    assert -1 <= value <= 1
    twice = neuron_overlap(clean.repeat(2, 1), triggered.repeat(2, 1), labels.repeat(2), TARGET).value
    assert twice == pytest.approx(value)  # each unit's sd changes by the same factor


@pytest.mark.parametrize("alive", [0.0, 1e-9, 1e-3, 0.03])
def test_a_dead_unit_that_the_trigger_wakes_is_not_lost(alive):
    """All along from dead to nearly so the same: the trigger's own unit is its loudest, and there is little overlap."""
    clean, triggered, labels = planted(range(4), range(4))
    clean[:, 19], triggered[:, 19] = alive * clean[:, 19], alive * clean[:, 19] + 5
    found = neuron_overlap(clean, triggered, labels, TARGET, k=4)
    assert found.trigger_units[0] == 19
    assert 0.03 < found.value < 0.06
    assert found.jaccard == pytest.approx(3 / 5)


@pytest.mark.parametrize(("d", "expected"), [(2, 2), (12, 3), (39, 3), (64, 6), (200, 20)])
def test_the_lists_are_a_tenth_of_the_units_long(d, expected):
    found = neuron_overlap(*features(d=d), TARGET)
    assert len(found.trigger_units) == len(found.class_units) == expected


# --- bad input


def test_bad_input():
    for change, message in (
        ({"clean": torch.zeros(60)}, r"x: expected \(n, d\), received \(60,\)"),
        ({"triggered": torch.zeros(59, 12)}, r"triggered: expected \(60, 12\) as clean, received \(59, 12\)"),
        ({"clean": torch.full((60, 12), float("nan"))}, "finite features"),
        ({"triggered": torch.full((60, 12), float("inf"))}, "triggered: expected finite features"),
        ({"labels": torch.zeros(59, dtype=torch.int64)}, r"labels: expected int64 \(60,\)"),
        ({"labels": torch.zeros(60, dtype=torch.int64)}, "labels: expected at least 2 classes"),
        ({"labels": torch.zeros(60)}, "labels: .* received torch.float32"),
        ({"target": 9}, "target: expected a class among .* received 9"),
        ({"k": 0}, "k: expected 1 to 12 units, received 0"),
        ({"k": 13}, "k: expected 1 to 12 units, received 13"),
    ):
        with case(message):
            clean, triggered, labels = features()
            good = {"clean": clean, "triggered": triggered, "labels": labels, "target": TARGET}
            with pytest.raises(InputError, match=message):
                neuron_overlap(**(good | change))
