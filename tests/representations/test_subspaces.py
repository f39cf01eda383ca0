"""Angles between spans: planted angles, tiny ones, chance; SciPy's are in tests/parity."""

from itertools import product
from math import cos, isnan, pi, sin

import pytest
import torch
from intertwine.representations.errors import InputError
from intertwine.representations.geometry.subspaces import principal_angles, span_of_differences, subspace_overlap

from tests.factories import case, randn


def planted(angles: list[float], d: int, seed: int) -> tuple[torch.Tensor, torch.Tensor]:
    """Two spans at these principal angles, each given by a skewed basis."""
    q, count = torch.linalg.qr(randn(seed, d, d)).Q, len(angles)
    a = q[:count]
    b = torch.stack([cos(t) * q[i] + sin(t) * q[count + i] for i, t in enumerate(angles)])
    return randn(seed + 1, count, count) @ a, randn(seed + 2, count, count) @ b


@pytest.mark.parametrize("angles", [[0.3], [0.0, pi / 2], [1e-3, 0.5, 1.2], [1e-9, 1e-5, pi / 2 - 1e-9]])
def test_planted_angles(angles):
    a, b = planted(angles, 9, 4)
    found = principal_angles(a, b)
    assert found.tolist() == pytest.approx(angles, abs=1e-13, rel=1e-5)
    assert principal_angles(b, a).tolist() == pytest.approx(angles, abs=1e-13, rel=1e-5)
    assert subspace_overlap(a, b) == pytest.approx(sum(cos(t) ** 2 for t in angles) / len(angles))


def test_of_unequal_dimensions_the_smaller_counts():
    a, b = planted([0.2, 0.9], 12, 0)
    wider = torch.cat([a, torch.linalg.svd(torch.cat([a, b])).Vh[-3:]])  # three more, orthogonal to both
    assert principal_angles(wider, b).tolist() == pytest.approx([0.2, 0.9])
    assert principal_angles(b, wider).tolist() == pytest.approx([0.2, 0.9])
    assert subspace_overlap(wider, b) == pytest.approx(subspace_overlap(a, b))


def test_a_span_does_not_depend_on_its_basis():
    a, b = randn(0, 3, 8), randn(1, 4, 8)
    expected = principal_angles(a, b).tolist()
    assert 0.1 < expected[0] < expected[-1] < pi / 2
    redundant = torch.cat([a, a.sum(0, keepdim=True), 1e-6 * a[:1], 0 * a[:1]])
    assert principal_angles(redundant, b).tolist() == pytest.approx(expected)
    assert principal_angles(1e-30 * randn(2, 3, 3) @ a, 1e30 * b).tolist() == pytest.approx(expected)
    q = torch.linalg.qr(randn(3, 8, 8)).Q
    assert principal_angles(a @ q, b @ q).tolist() == pytest.approx(expected)
    assert abs(subspace_overlap(a @ q, b) - subspace_overlap(a, b)) > 0.01  # turning one alone does count


def test_a_contained_span():
    a = randn(0, 5, 20)
    assert subspace_overlap(a, a[:2]) == pytest.approx(1)
    assert principal_angles(a, a[:2] + 0).tolist() == pytest.approx([0, 0], abs=1e-14)
    assert subspace_overlap(a, torch.eye(20, dtype=torch.float64)) == pytest.approx(1)
    assert subspace_overlap(torch.eye(6)[:2], torch.eye(6)[2:]) == pytest.approx(0, abs=1e-30)


@pytest.mark.parametrize(("p", "q", "d"), [(1, 1, 10), (3, 5, 20), (9, 9, 64)])
def test_chance_is_the_larger_share_of_the_space(p, q, d):
    values = torch.tensor([subspace_overlap(randn(i, p, d), randn(9000 + i, q, d)) for i in range(400)])
    error = float(values.std()) / 20
    assert float(values.mean()) == pytest.approx(max(p, q) / d, abs=3.5 * error)
    assert error < 0.08 * max(p, q) / d


def test_only_zeros():
    assert isnan(subspace_overlap(torch.zeros(2, 5), randn(0, 2, 5)))
    assert isnan(subspace_overlap(randn(0, 2, 5), torch.zeros(2, 5)))
    assert isnan(subspace_overlap(randn(0, 2, 5), torch.zeros(0, 5)))
    with pytest.raises(InputError, match="a: expected at least 1 rows, received 0"):
        principal_angles(torch.zeros(0, 5), randn(0, 2, 5))
    with pytest.raises(InputError, match="b: expected directions, received only zeros"):
        principal_angles(randn(0, 2, 5), torch.zeros(2, 5))


def test_points_far_from_zero_span_no_direction_of_rounding():
    for mean, (p, d) in product((0.0, 1.0, 1e4, 1e7), ((4, 9), (2, 3), (6, 4))):
        with case(mean, p, d):
            points = randn(p, p, d)
            basis = span_of_differences(points + mean * randn(7, 1, d))
            assert basis.shape == (min(p - 1, d), d)
            torch.testing.assert_close(basis @ basis.T, torch.eye(len(basis), dtype=torch.float64))
            differences = points[1:] - points[0]
            assert principal_angles(basis, differences).max() < 1e-7  # the sum has rounded the points at a mean of 1e7


def test_points_on_a_line_and_in_one_place():
    line = torch.arange(5, dtype=torch.float64).unsqueeze(1) * randn(0, 1, 6) + 100 * randn(1, 1, 6)
    assert span_of_differences(line).shape == (1, 6)
    assert subspace_overlap(span_of_differences(line), randn(0, 1, 6)) == pytest.approx(1)
    for value in (0.0, 0.1, 1e8):
        assert span_of_differences(torch.full((5, 6), value)).shape == (0, 6)
    assert isnan(subspace_overlap(span_of_differences(torch.full((5, 6), 0.1)), line))


def test_bad_input_is_named():
    for measure, (a, b, message) in product(
        (principal_angles, subspace_overlap),
        (
            (torch.ones(2, 5), torch.ones(2, 4), "of one width, received 5 and 4"),
            (torch.ones(5), torch.ones(1, 5), r"a: expected \(n, d\), received \(5,\)"),
            (torch.ones(1, 5), torch.full((1, 5), torch.nan), "b: expected finite"),
        ),
    ):
        with case(message), pytest.raises(InputError, match=message):
            measure(a, b)
