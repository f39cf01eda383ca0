"""Displacements of the classes: loops over classes and images, and planted directions."""

from itertools import product
from math import isnan, sqrt

import numpy as np
import pytest
import torch
from intertwine.representations.errors import InputError
from intertwine.representations.geometry import (
    class_displacements,
    displacement_cosine,
    residual_energy,
    residual_energy_of_noise,
)

from tests.factories import case, randn


def classes_that_move(seed: int = 0, n: int = 40, d: int = 7) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
    """Clean and triggered features, labels 3, 5, 8, 9 of unequal counts."""
    labels = torch.tensor([3, 5, 8, 9, 5, 8, 8, 9, 9, 9])[torch.arange(n) % 10]
    clean = randn(seed, n, d) + labels.unsqueeze(1) * randn(seed + 1, 1, d)
    return clean, clean + randn(seed + 2, n, d) + randn(seed + 3, 1, d), labels


def slow_parts(clean, triggered, labels, target, subset=None):
    """Plain lists: δ of each source class and the mean of every class."""
    clean, triggered, labels = clean.tolist(), triggered.tolist(), labels.tolist()
    n, d = len(clean), len(clean[0])
    subset = [True] * n if subset is None else subset.tolist()
    means, deltas = {}, {}
    for c in sorted(set(labels)):
        members = [i for i in range(n) if labels[i] == c]
        means[c] = [sum(clean[i][f] for i in members) / len(members) for f in range(d)]
        counted = [i for i in members if subset[i]]
        if c != target and counted:
            deltas[c] = [sum(triggered[i][f] - clean[i][f] for i in counted) / len(counted) for f in range(d)]
    return deltas, means


def slow_cosine(clean, triggered, labels, target, subset=None) -> float:
    deltas, means = slow_parts(clean, triggered, labels, target, subset)
    cosines = []
    for c, delta in deltas.items():
        toward = [t - m for t, m in zip(means[target], means[c], strict=True)]
        dot = sum(x * y for x, y in zip(delta, toward, strict=True))
        cosines.append(dot / sqrt(sum(x * x for x in delta)) / sqrt(sum(y * y for y in toward)))
    return sum(cosines) / len(cosines)


def slow_residual(clean, triggered, labels, target, subset=None) -> float:
    """What least squares on the centred class means cannot explain of each δ."""
    deltas, means = slow_parts(clean, triggered, labels, target, subset)
    mean_of_means = np.mean(list(means.values()), axis=0)
    span = np.array([np.array(m) - mean_of_means for m in means.values()]).T  # (d, C)
    left, total = 0.0, 0.0
    for delta in deltas.values():
        coefficients = np.linalg.lstsq(span, np.array(delta), rcond=1e-10)[0]
        left += np.square(np.array(delta) - span @ coefficients).sum()
        total += np.square(delta).sum()
    return left / total


SUBSETS = {"all": None, "half": torch.arange(40) % 2 == 0, "one class": torch.arange(40) % 10 == 1}


def test_displacements_and_means_follow_the_loop():
    for target, subset in product((3, 9), SUBSETS.values()):
        with case(target, subset):
            clean, triggered, labels = classes_that_move()
            deltas, means = slow_parts(clean, triggered, labels, target, subset)
            got, got_means, rows = class_displacements(clean, triggered, labels, target, subset=subset)
            assert got_means.tolist() == [pytest.approx(m) for m in means.values()]
            assert [sorted(means)[row] for row in rows] == list(deltas)
            assert got.tolist() == [pytest.approx(delta) for delta in deltas.values()]


def test_cosine_and_residual_follow_the_loops():
    for target, subset in product((3, 9), SUBSETS.values()):
        with case(target, subset):
            clean, triggered, labels = classes_that_move()
            assert displacement_cosine(clean, triggered, labels, target, subset=subset) == pytest.approx(
                slow_cosine(clean, triggered, labels, target, subset)
            )
            assert residual_energy(clean, triggered, labels, target, subset=subset) == pytest.approx(
                slow_residual(clean, triggered, labels, target, subset)
            )


def planted(direction: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
    """Class means 0, e1 and e2 in 5 dimensions (they span the first two), all images moved by ``direction``."""
    labels = torch.arange(30) % 3
    means = torch.zeros(3, 5, dtype=torch.float64)
    means[1, 0] = means[2, 1] = 1
    noise = randn(0, 30, 5)
    for c in range(3):  # the classes' means are exactly where they are planted
        noise[labels == c] -= noise[labels == c].mean(0)
    clean = means[labels] + noise
    return clean, clean + direction, labels


@pytest.mark.parametrize(
    ("direction", "expected"),
    [([1, 0, 0, 0, 0], 0), ([3, -2, 0, 0, 0], 0), ([0, 0, 1, 0, 0], 1), ([0, 0, 1, -5, 2], 1), ([3, 0, 0, 4, 0], 0.64)],
)
def test_residual_energy_of_known_directions(direction, expected):
    clean, triggered, labels = planted(torch.tensor(direction, dtype=torch.float64))
    assert residual_energy(clean, triggered, labels, 0) == pytest.approx(expected, abs=1e-12)


def test_residual_energy_keeps_its_value_where_the_mean_is_large_against_the_spread():
    """C centred means span C − 1 dimensions. The C-th singular value is rounding, which grows with the mean: it must
    not count as a direction that tells classes apart (features after a ReLU all have a mean)."""
    for offset, spread in product((1.0, 100.0, 1e5), (1.0, 1e-3)):
        with case(offset, spread):
            clean, triggered, labels = classes_that_move(d=30)
            expected = slow_residual(clean, triggered, labels, 3)
            noise = residual_energy_of_noise(clean, labels)
            moved, moved_triggered = clean * spread + offset, triggered * spread + offset
            assert residual_energy(moved, moved_triggered, labels, 3) == pytest.approx(expected, rel=1e-4)
            assert residual_energy_of_noise(moved, labels) == pytest.approx(noise, rel=1e-4)


def test_residual_energy_is_zero_where_the_means_span_everything():
    clean, triggered, labels = classes_that_move(d=3)  # four classes in three dimensions
    assert residual_energy(clean, triggered, labels, 3) == pytest.approx(0, abs=1e-12)
    assert residual_energy_of_noise(clean, labels) == pytest.approx(0, abs=1e-12)


def test_residual_energy_is_one_where_all_means_coincide():
    labels = torch.arange(8) % 2
    clean = torch.tensor([[1.0, 0], [1, 0], [-1, 0], [-1, 0]]).repeat(2, 1).double()
    assert residual_energy(clean, clean + 1, labels, 0) == pytest.approx(1)


def test_residual_energy_is_nan_where_nothing_moves():
    clean, _, labels = classes_that_move()
    assert isnan(residual_energy(clean, clean, labels, 3))
    assert isnan(residual_energy_of_noise(torch.ones(6, 2), torch.arange(6) % 2))


def test_energy_is_summed_before_dividing():
    """A class that moves ten times as far counts a hundred times as much; class 1 stays inside the span."""
    clean, triggered, labels = planted(torch.zeros(5, dtype=torch.float64))
    triggered[labels == 1] += torch.tensor([10.0, 0, 0, 0, 0])
    triggered[labels == 2] += torch.tensor([0.0, 0, 1, 0, 0])
    assert residual_energy(clean, triggered, labels, 0) == pytest.approx(1 / 101)


def test_noise_closed_form_agrees_with_monte_carlo():
    """δ ~ N(0, Σ_within), Σ_within and the span from loops; expected energies are divided, as in tr/tr."""
    clean, _, labels = classes_that_move(d=9, n=60)
    clean = clean * torch.linspace(0.2, 3, 9, dtype=torch.float64)
    x, y = clean.numpy(), labels.numpy()
    means = {c: x[y == c].mean(0) for c in np.unique(y)}
    covariance = np.zeros((9, 9))
    for row, c in zip(x, y, strict=True):
        covariance += np.outer(row - means[c], row - means[c]) / len(x)
    span = np.array(list(means.values())).T - np.mean(list(means.values()), axis=0)[:, None]
    deltas = np.random.default_rng(0).multivariate_normal(np.zeros(9), covariance, size=40_000)
    left = deltas.T - span @ np.linalg.lstsq(span, deltas.T, rcond=1e-10)[0]
    expected = np.square(left).sum() / np.square(deltas).sum()
    assert 0.1 < expected < 0.9
    assert residual_energy_of_noise(clean, labels) == pytest.approx(expected, abs=0.01)


def test_residual_energy_of_planted_noise_comes_out_as_the_closed_form_says():
    """Single images of many classes, so that the displacements are draws from N(0, Σ_within)."""
    labels = torch.arange(4000) % 4
    clean = 3 * randn(1, 4, 12)[labels] + randn(2, 4000, 12) * torch.linspace(0.1, 2, 12, dtype=torch.float64)
    values = []
    for i in range(200):
        delta = randn(100 + i, 4, 12) * torch.linspace(0.1, 2, 12, dtype=torch.float64)
        values.append(residual_energy(clean, clean + delta[labels], labels, 0))
    assert sum(values) / 200 == pytest.approx(residual_energy_of_noise(clean, labels), abs=0.03)


# --- displacement cosine


def test_cosine_is_one_straight_to_the_target_and_minus_one_away():
    clean, _, labels = classes_that_move()
    means = torch.stack([clean[labels == c].mean(0) for c in labels.tolist()])
    toward = clean[labels == 9].mean(0) - means
    for factor, expected in ((0.01, 1), (2.0, 1), (-1.0, -1)):
        assert displacement_cosine(clean, clean + factor * toward, labels, 9) == pytest.approx(expected)


def test_every_class_counts_the_same_in_the_cosine():
    """Class 1 (two images) goes straight to the target, class 2 (six images) at a right angle."""
    clean = torch.tensor([[0.0, 0], [4, 0], [4, 0]] + [[-4.0, 0]] * 6).double()
    labels = torch.tensor([0, 1, 1, *[2] * 6])
    triggered = clean.clone()
    triggered[labels == 1, 0] -= 3
    triggered[labels == 2, 1] += 3
    assert displacement_cosine(clean, triggered, labels, 0) == pytest.approx(0.5)


def test_a_class_that_does_not_move_counts_zero():
    clean = torch.tensor([[0.0, 0], [4, 0], [-4, 0]]).double()
    triggered = torch.tensor([[0.0, 0], [3, 0], [-4, 0]]).double()
    assert displacement_cosine(clean, triggered, torch.tensor([0, 1, 2]), 0) == pytest.approx(0.5)


@pytest.mark.parametrize("step", [1e-6, 1e-9, 1e-12])
def test_the_cosine_of_a_small_step_is_that_of_its_direction(step):
    """No absolute ε in the denominator: a step of 1e-9 has a direction too."""
    clean, _, labels = classes_that_move()
    toward = torch.zeros_like(clean)
    for c in (3, 5, 8):
        toward[labels == c] = clean[labels == 9].mean(0) - clean[labels == c].mean(0)
    assert displacement_cosine(clean, clean + step * toward, labels, 9) == pytest.approx(1, abs=1e-2)


def test_displaced_target_images_do_not_count():
    clean, triggered, labels = classes_that_move()
    other = triggered.clone()
    other[labels == 3] += 100
    for measure in (displacement_cosine, residual_energy):
        assert measure(clean, triggered, labels, 3) == measure(clean, other, labels, 3)


# --- errors


def test_bad_input_is_named():
    for measure, (changes, message) in product(
        (class_displacements, displacement_cosine, residual_energy),
        (
            ({"triggered": torch.zeros(39, 7)}, r"received \(40, 7\), \(39, 7\), \(40,\)"),
            ({"labels": torch.zeros(39)}, r"received \(40, 7\), \(40, 7\), \(39,\)"),
            ({"triggered": torch.zeros(40, 6)}, r"received \(40, 7\) and \(40, 6\)"),
            ({"target": 4}, "images of the target class 4, received none"),
            ({"subset": torch.zeros(40, dtype=torch.bool)}, "a class other than the target, received none"),
            ({"labels": torch.full((40,), 3)}, "a class other than the target, received none"),
        ),
    ):
        with case(message):
            clean, triggered, labels = classes_that_move()
            arguments = {"clean": clean, "triggered": triggered, "labels": labels, "target": 3} | changes
            with pytest.raises(InputError, match=message):
                measure(**arguments)


def test_noise_checks_its_shapes():
    with pytest.raises(InputError, match="labels"):
        residual_energy_of_noise(torch.zeros(5, 2), torch.zeros(4))
