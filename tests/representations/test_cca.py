"""CCA against its definition, and the ways in which it misleads: everything correlates where n is small."""

from itertools import product
from math import isnan

import pytest
import torch
from intertwine.representations.errors import InputError
from intertwine.representations.seeds import generator
from intertwine.representations.similarity.cca import canonical_correlations, cca, svcca

from tests.factories import case, randn, rotation


def by_whitening(x: torch.Tensor, y: torch.Tensor) -> list[float]:
    """Square roots of the eigenvalues of S_xx⁻¹ S_xy S_yy⁻¹ S_yx: Hotelling's definition."""
    x, y = x - x.mean(0), y - y.mean(0)
    product = torch.linalg.solve(x.T @ x, x.T @ y) @ torch.linalg.solve(y.T @ y, y.T @ x)
    return sorted(torch.linalg.eigvals(product).real.clamp(min=0).sqrt().tolist(), reverse=True)


def related(seed: int, n: int, d: int, e: int) -> tuple[torch.Tensor, torch.Tensor]:
    z = randn(seed, n, 2)
    return z @ randn(seed + 1, 2, d) + randn(seed + 2, n, d), z @ randn(seed + 3, 2, e) + randn(seed + 4, n, e)


@pytest.mark.parametrize(("d", "e"), [(3, 3), (2, 5), (6, 4)])
def test_follows_the_definition(d, e):
    x, y = related(10 * d + e, 50, d, e)
    expected = by_whitening(x, y)[: min(d, e)]
    assert 0.1 < expected[0] < 0.999
    assert canonical_correlations(x, y).tolist() == pytest.approx(expected, abs=1e-9)
    assert cca(x, y) == pytest.approx(sum(expected) / len(expected), abs=1e-9)
    assert cca(y, x) == pytest.approx(cca(x, y), abs=1e-12)


def test_one_feature_each_is_the_absolute_correlation():
    x, y = related(0, 30, 1, 1)
    expected = abs(float(torch.corrcoef(torch.cat([x, y], dim=1).T)[0, 1]))
    assert canonical_correlations(x, y).tolist() == pytest.approx([expected])


def test_a_linear_map_changes_nothing():
    x, y = related(3, 80, 5, 4)
    skew = rotation(1, 5) @ torch.diag(torch.logspace(-2, 2, 5, dtype=torch.float64)) @ rotation(2, 5)
    assert cca(x @ skew + 7, y * 1e-6) == pytest.approx(cca(x, y), abs=1e-9)
    assert cca(x, x @ skew) == pytest.approx(1, abs=1e-9)
    assert abs(svcca(x @ skew, y) - svcca(x, y)) > 0.01  # its components go by variance


def test_the_larger_space_does_not_count():
    """y spans the column space of x and more: every direction of x is found again."""
    x = randn(0, 60, 3)
    y = torch.cat([x @ rotation(1, 3), randn(2, 60, 4)], dim=1)
    assert canonical_correlations(x, y).tolist() == pytest.approx([1, 1, 1])


@pytest.mark.parametrize("mean", [0.0, 1e4, 1e7])
def test_collinear_and_constant_features_are_no_directions(mean):
    x, y = related(5, 70, 3, 3)
    wide = torch.cat([x, x.sum(1, keepdim=True), x[:, :1], torch.ones(70, 1, dtype=torch.float64)], dim=1)
    wide = wide + mean * randn(8, 1, 6)
    assert len(canonical_correlations(wide, y)) == 3
    assert cca(wide, y) == pytest.approx(cca(x, y), abs=1e-6)


def test_defect_everything_correlates_where_d_reaches_n():
    """Independent data: in-sample 1 from d = n − 1 on, held out about 0."""
    for n in (20, 40):
        x, y = randn(n, n, n - 1), randn(n + 1, n, 5)
        assert cca(x, y) == pytest.approx(1, abs=1e-9)
    pairs = [(randn(i, 100, 40), randn(500 + i, 100, 40)) for i in range(12)]
    assert sum(cca(x, y) for x, y in pairs) / 12 > 0.5
    assert abs(sum(cca(x, y, held_out=True) for x, y in pairs) / 12) < 0.05


@pytest.mark.parametrize(("n", "d"), [(40, 6), (30, 60)])
def test_held_out_is_one_for_a_rotated_scaled_shifted_copy(n, d):
    x = randn(1, n, d)
    assert cca(x, 3 * x @ rotation(2, d) - 5, held_out=True) == pytest.approx(1, abs=1e-9)


def test_held_out_finds_what_is_shared():
    z = randn(0, 400, 3)
    x, y = z + 0.3 * randn(1, 400, 3), z @ rotation(2, 3) + 0.3 * randn(3, 400, 3)
    truth = 1 / (1 + 0.3**2)
    assert cca(x, y, held_out=True) == pytest.approx(truth, abs=0.03)


def test_held_out_follows_its_seed():
    x, y = related(1, 60, 5, 5)
    assert cca(x, y, held_out=True, seed=1) == cca(x, y, held_out=True, seed=1)
    assert cca(x, y, held_out=True, seed=1) != cca(x, y, held_out=True, seed=2)


@pytest.mark.parametrize("variance", [0.5, 0.9, 0.99, 1.0])
def test_svcca_is_cca_of_the_leading_components(variance):
    scale = torch.logspace(0, -2, 6, dtype=torch.float64)
    x, y = related(7, 60, 6, 6)
    x, y = x * scale, y * scale.flip(0)

    def reduced(z: torch.Tensor) -> torch.Tensor:
        centred = z - z.mean(0)
        values, vectors = torch.linalg.eigh(centred.T @ centred)
        values, vectors = values.flip(0), vectors.flip(1)
        count = 1
        while float(values[:count].sum() / values.sum()) < variance - 1e-12:
            count += 1
        return centred @ vectors[:, :count]

    assert svcca(x, y, variance=variance) == pytest.approx(cca(reduced(x), reduced(y)), abs=1e-9)


def test_svcca_leaves_out_directions_of_noise():
    """Two strong shared directions and many faint ones of each own: CCA counts all alike."""
    z = randn(0, 300, 2)
    x, y = (torch.cat([z, 1e-3 * randn(i, 300, 10)], dim=1) for i in (1, 2))
    assert svcca(x, y) == pytest.approx(1, abs=1e-3)
    assert cca(x, y) < 0.5


def test_constant_features_are_nan():
    for measure, value in product((cca, svcca, lambda x, y: cca(x, y, held_out=True)), (0.0, 0.1, 1e8)):
        with case(measure, value):
            # The mean of 23 times 0.1 is not 0.1: what centring leaves is rounding.
            constant, y = torch.full((23, 3), value, dtype=torch.float64), randn(0, 23, 4)
            assert isnan(measure(constant, y))
            assert isnan(measure(y, constant))
            assert len(canonical_correlations(constant, y)) == 0


def test_constant_in_one_half_only_is_nan_held_out():
    """All but one image coincide: whichever half has that image, the other is a point, up to the rounding of a mean."""
    for seed in range(6):
        with case(seed):
            x, y = torch.full((23, 3), 0.1, dtype=torch.float64), randn(0, 23, 3)
            x[4] += randn(1, 3)
            assert isnan(cca(x, y, held_out=True, seed=seed))


def test_held_out_by_hand():
    """Whitened, decomposed and correlated by other means, on the halves that the seed deals; far from the origin."""
    x, y = related(11, 40, 4, 3)
    order = torch.randperm(40, generator=generator(5, "cca", 40))
    fit, rest = order[:20], order[20:]

    def whitener(z: torch.Tensor) -> torch.Tensor:
        values, vectors = torch.linalg.eigh(torch.cov(z.T))
        return vectors / values.sqrt()

    a, b = whitener(x[fit]), whitener(y[fit])
    cross = torch.cov(torch.cat([x[fit] @ a, y[fit] @ b], 1).T)[:4, 4:]
    left, _, right = torch.linalg.svd(cross, full_matrices=False)
    u, v = x[rest] @ a @ left, y[rest] @ b @ right.T
    expected = sum(float(torch.corrcoef(torch.stack([u[:, i], v[:, i]]))[0, 1]) for i in range(3)) / 3
    assert cca(x + 7, y - 3, held_out=True, variance=1.0, seed=5) == pytest.approx(expected, abs=1e-9)


def test_no_absolute_epsilon():
    for factor in (1e-200, 1e-30, 1e-8, 1e8, 1e30, 1e200):
        with case(factor):
            x, y = related(2, 40, 4, 4)
            for measure in (cca, svcca, lambda a, b: cca(a, b, held_out=True)):
                assert measure(x * factor, y) == pytest.approx(measure(x, y), abs=1e-9)


def test_bad_input_is_named():
    for call, message in (
        (lambda: cca(torch.zeros(5, 2), torch.zeros(6, 2)), r"received \(5, 2\) and \(6, 2\)"),
        (lambda: cca(torch.zeros(5), torch.zeros(5, 1)), r"x: expected \(n, d\), received \(5,\)"),
        (lambda: cca(torch.zeros(2, 1), torch.zeros(2, 1)), "at least 3 rows, received 2"),
        (lambda: cca(randn(0, 7, 1), randn(1, 7, 1), held_out=True), "at least 8 rows, received 7"),
        (lambda: svcca(randn(0, 9, 2), randn(1, 9, 2), variance=0.0), r"variance: expected a share in \(0, 1\]"),
        (lambda: svcca(randn(0, 9, 2), randn(1, 9, 2), variance=1.5), "received 1.5"),
        (lambda: cca(torch.full((9, 2), torch.nan), randn(1, 9, 2)), "x: expected finite"),
        (lambda: svcca(randn(1, 9, 2), torch.full((9, 2), torch.inf)), "y: expected finite"),
    ):
        with case(message), pytest.raises(InputError, match=message):
            call()
