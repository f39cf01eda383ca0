"""Alignment and uniformity against loops over pairs and closed forms."""

from importlib import import_module
from itertools import product
from math import cos, exp, isnan, log, pi

import pytest
import torch
from intertwine.representations.errors import InputError
from intertwine.representations.geometry.uniformity import alignment, uniformity, uniformity_masked

from tests.factories import case, randn

# The package exports the function under the module's name.
module = import_module("intertwine.representations.geometry.uniformity")


def directions(x: torch.Tensor) -> list[list[float]]:
    return [[v / sum(w * w for w in row) ** 0.5 for v in row] for row in x.tolist()]


def squared(p: list[float], q: list[float]) -> float:
    return sum((a - b) ** 2 for a, b in zip(p, q, strict=True))


def uniformity_by_loop(x: torch.Tensor, t: float) -> float:
    points = directions(x)
    pairs = [exp(-t * squared(p, q)) for i, p in enumerate(points) for j, q in enumerate(points) if i != j]
    return log(sum(pairs) / len(pairs))


def test_uniformity_by_loop():
    for t, (n, d) in product((0.5, 2.0, 30.0), ((2, 3), (25, 3), (10, 200))):
        with case(t, n, d):
            x = randn(n, n, d) + 0.5
            assert uniformity(x, t=t) == pytest.approx(uniformity_by_loop(x, t), abs=1e-9)


def test_alignment_by_loop():
    x, y = randn(0, 20, 5), randn(1, 20, 5)
    expected = sum(squared(p, q) for p, q in zip(directions(x), directions(y), strict=True)) / 20
    assert alignment(x, y) == pytest.approx(expected)


def test_alignment_at_its_ends():
    x = randn(0, 20, 5)
    assert alignment(x, 7 * x) == pytest.approx(0, abs=1e-25)
    assert alignment(x, -2 * x) == pytest.approx(4)
    assert alignment(x[:1], x[:1]) == 0  # one image is enough


def test_points_on_a_circle():
    """n points at equal angles: ‖x_i − x_j‖² = 2 − 2 cos(2π(i − j)/n)."""
    angles = torch.arange(7, dtype=torch.float64) * 2 * pi / 7
    x = torch.stack([angles.cos(), angles.sin()], 1)
    expected = log(sum(exp(-2 * (2 - 2 * cos(2 * pi * i / 7))) for i in range(1, 7)) / 6)
    assert uniformity(x) == pytest.approx(expected)


def test_uniform_points_in_many_dimensions_tend_to_minus_2t():
    assert uniformity(randn(0, 300, 2000)) == pytest.approx(-4, abs=0.02)
    assert uniformity(randn(0, 300, 2000), t=1.0) == pytest.approx(-2, abs=0.02)


def test_a_cap_is_less_uniform_than_the_sphere():
    x = randn(0, 200, 8)
    assert uniformity(x) < uniformity(x + 1) - 0.5 < uniformity(x + 5) - 0.5


def test_pairs_of_a_point_with_itself_do_not_count():
    """With them the value would tend to log(1/n) for points far apart."""
    x = torch.tensor([[1.0, 0.0], [-1.0, 0.0]])
    assert uniformity(x, t=50.0) == pytest.approx(-200)


@pytest.mark.parametrize("chunk", [1, 7, 10_000])
def test_chunks_add_up(chunk, monkeypatch):
    x = randn(0, 50, 4)
    expected = uniformity_by_loop(x, 2.0)
    monkeypatch.setattr(module, "CHUNK", chunk)
    assert uniformity(x) == pytest.approx(expected)


@pytest.mark.parametrize("factor", [1e-300, 1e-20, 1e-13, 1e300])
def test_defect_an_absolute_epsilon_leaves_short_rows_short(factor):
    x, y = randn(0, 20, 5), randn(1, 20, 5)
    q = torch.linalg.qr(randn(2, 5, 5)).Q
    assert uniformity(factor * (x @ q)) == pytest.approx(uniformity(x))
    assert alignment(factor * (x @ q), y @ q) == pytest.approx(alignment(x, y))


def test_it_needs_the_origin():
    x = randn(0, 30, 5)
    assert abs(uniformity(x + 1) - uniformity(x)) > 0.1
    assert abs(alignment(x + 1, x.flip(0) + 1) - alignment(x, x.flip(0))) > 0.1


def test_coincident_points_and_rows_of_zeros():
    assert uniformity(randn(0, 1, 4).repeat(9, 1)) == pytest.approx(0, abs=1e-12)
    assert uniformity(torch.zeros(5, 3)) == 0
    assert alignment(torch.zeros(2, 3), torch.eye(3)[:2]) == 1  # at the origin, at distance 1 from the sphere
    x = torch.tensor([[0.0, 0.0], [1.0, 0.0]])
    assert uniformity(x) == pytest.approx(-2)


def test_of_kept_equals_the_subset(monkeypatch):
    monkeypatch.setattr(module, "CHUNK", 8)
    x = randn(0, 30, 4)
    keep = torch.rand(12, 30, generator=torch.Generator().manual_seed(0)) < 0.5
    values = uniformity_masked(x, keep)
    assert values.shape == (12,)
    for row, value in zip(keep, values.tolist(), strict=True):
        assert value == pytest.approx(uniformity_by_loop(x[row], 2.0))


def test_of_kept_below_two_images_is_nan():
    keep = torch.zeros(2, 6, dtype=torch.bool)
    keep[1, 2] = True
    assert all(isnan(v) for v in uniformity_masked(randn(0, 6, 3), keep).tolist())


def test_bad_input_is_named():
    for call, message in (
        (lambda: uniformity(torch.zeros(1, 3)), "at least 2 rows, received 1"),
        (lambda: uniformity(torch.zeros(3)), r"received \(3,\)"),
        (lambda: uniformity(randn(0, 5, 3), t=0.0), r"t: expected a number in \(0, 100\], received 0"),
        (lambda: uniformity(randn(0, 5, 3), t=torch.nan), "received nan"),
        (lambda: uniformity(torch.full((4, 2), torch.nan)), "x: expected finite"),
        (lambda: alignment(torch.zeros(4, 2), torch.zeros(5, 2)), r"positives: expected \(4, 2\) as x"),
        (lambda: alignment(torch.zeros(4, 2), torch.full((4, 2), torch.inf)), "positives: expected finite"),
    ):
        with case(message), pytest.raises(InputError, match=message):
            call()
