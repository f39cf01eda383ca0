"""CKA against Song et al. written out as sums over distinct indices, and the ways in which CKA misleads."""

from itertools import permutations, product
from math import dist, exp, isnan, sqrt
from statistics import median_low

import pytest
import torch
from intertwine.representations import cka
from intertwine.representations.errors import InputError
from intertwine.representations.similarity import cka_masked, gram

from tests.factories import case, randn


def linear_kernel(x: torch.Tensor) -> list[list[float]]:
    """Not centred: HSIC₁ does not depend on it."""
    return [[sum(a * b for a, b in zip(p, q, strict=True)) for q in x.tolist()] for p in x.tolist()]


def rbf_kernel(x: torch.Tensor) -> list[list[float]]:
    rows = x.tolist()
    width = median_low([dist(p, q) for i, p in enumerate(rows) for j, q in enumerate(rows) if i != j])
    return [[exp(-(dist(p, q) ** 2) / (2 * width**2)) for q in rows] for p in rows]


def u_statistic(k: list[list[float]], m: list[list[float]]) -> float:
    """Song et al., eq. 4: mean over ordered 4-tuples of distinct indices of K_ij (L_ij + L_qr − 2 L_iq)."""
    terms = [k[i][j] * (m[i][j] + m[q][r] - 2 * m[i][q]) for i, j, q, r in permutations(range(len(k)), 4)]
    return sum(terms) / len(terms)


def v_statistic(k: list[list[float]], m: list[list[float]]) -> float:
    """tr(KHLH), H = I − 11ᵀ/n, element by element."""
    n = len(k)

    def centred(a: list[list[float]]) -> list[list[float]]:
        row = [sum(r) / n for r in a]
        column = [sum(a[i][j] for i in range(n)) / n for j in range(n)]
        grand = sum(row) / n
        return [[a[i][j] - row[i] - column[j] + grand for j in range(n)] for i in range(n)]

    return sum(a * b for p, q in zip(centred(k), centred(m), strict=True) for a, b in zip(p, q, strict=True))


KERNELS = {"linear": linear_kernel, "rbf": rbf_kernel}
HSIC = {True: u_statistic, False: v_statistic}


def test_follows_the_explicit_sums():
    for debiased, kernel, n in product((True, False), KERNELS, (4, 6, 9)):
        with case(debiased, kernel, n):
            x, y = randn(n, n, 3), randn(50 + n, n, 5)
            y[:, :3] += x
            k, m, hsic = KERNELS[kernel](x), KERNELS[kernel](y), HSIC[debiased]
            expected = hsic(k, m) / sqrt(hsic(k, k) * hsic(m, m))
            assert abs(expected) < 1
            assert cka(x, y, kernel=kernel, debiased=debiased) == pytest.approx(expected, abs=1e-9)
            assert cka(y, x, kernel=kernel, debiased=debiased) == pytest.approx(expected, abs=1e-9)


@pytest.mark.parametrize("kernel", KERNELS)
@pytest.mark.parametrize("debiased", [True, False])
def test_defect_missing_square_root(kernel, debiased):
    """Without the root, CKA(X, X) is 1/HSIC and CKA(X, 2X) is not 1."""
    x = randn(0, 30, 6)
    for other in (x, 2 * x, -x, 3 * x.flip(1) + 7):
        assert cka(x, other, kernel=kernel, debiased=debiased) == pytest.approx(1, abs=1e-12)


def test_defect_absolute_epsilon_makes_cka_depend_on_scale():
    for kernel, debiased, scale in product(KERNELS, (True, False), (1e-8, 1e8, 1e-30, 1e30)):
        with case(kernel, debiased, scale):
            x, y = randn(0, 20, 6), randn(0, 20, 6) + randn(1, 20, 6)
            expected = cka(x, y, kernel=kernel, debiased=debiased)
            assert 0.05 < expected < 0.95
            for a, b in ((x * scale, y), (x, y * scale), (x * scale, y * scale)):
                assert cka(a, b, kernel=kernel, debiased=debiased) == pytest.approx(expected, rel=1e-9)


@pytest.mark.parametrize(("n", "value"), [(64, 0.89), (256, 0.66)])
def test_defect_biased_cka_is_high_on_noise(n, value):
    """d = 512, independent: the biased form says .89 at n = 64 and .66 at 256, the debiased one 0 on average."""
    pairs = [(randn(i, n, 512), randn(1000 + i, n, 512)) for i in range(20)]
    biased = sum(cka(x, y, debiased=False) for x, y in pairs) / 20
    debiased = torch.tensor([cka(x, y) for x, y in pairs])
    assert biased == pytest.approx(value, abs=0.01)
    assert float(debiased.mean()) == pytest.approx(0, abs=4 * float(debiased.std()) / sqrt(20))
    assert float(debiased.std()) < 0.05


def test_defect_clamping_biases_averages():
    """Small negative values stay: cut at 0, the average of independent data would be above 0."""
    values = torch.tensor([cka(randn(i, 12, 4), randn(5000 + i, 12, 4)) for i in range(300)])
    error = float(values.std()) / sqrt(300)
    assert float(values.mean()) == pytest.approx(0, abs=3 * error)
    assert float(values.clamp(min=0).mean()) > 3 * error
    assert (values < 0).float().mean() > 0.3


def test_defect_few_rows_with_a_shared_shift_rule_a_mixture():
    """1 % of rows moved alike makes independent data look similar: hence subsets, never only mixed."""
    x, y = randn(0, 400, 16), randn(1, 400, 16)
    x[:4] += 15
    y[:4] += 15
    keep = torch.ones(2, 400, dtype=torch.bool)
    keep[1, :4] = False
    together, rest = cka_masked(gram(x), gram(y), keep).tolist()
    assert together > 0.4
    assert abs(rest) < 0.05
    assert together == pytest.approx(cka(x, y))


def test_defect_one_percent_of_rows_with_a_shared_shift():
    """At n = 1,000, d = 32: ten rows lift linear CKA of independent data beyond .5, biased or not."""
    x, y = randn(0, 1000, 32), randn(1, 1000, 32)
    before = [cka(x, y, debiased=debiased) for debiased in (True, False)]
    x[:10] += 7
    y[:10] += 7
    assert max(map(abs, before)) < 0.05
    for debiased in (True, False):
        assert cka(x, y, debiased=debiased) > 0.5
        assert abs(cka(x[10:], y[10:], debiased=debiased)) < 0.05


def test_few_features_and_few_images_take_different_ways_to_one_number():
    """With d, e < n no matrix of n × n is made; the Gram form must give the same."""
    for debiased, (d, e) in product((True, False), ((5, 3), (39, 39), (40, 3), (39, 41), (60, 70))):
        with case(debiased, d, e):
            x, y = randn(0, 40, d) + 1e3, randn(1, 40, e)
            y[:, :3] += x[:, :3]
            k, m = gram(x), gram(y)
            if debiased:
                expected = float(cka_masked(k, m, torch.ones(1, 40, dtype=torch.bool)))
            else:
                expected = float((k * m).sum() / (k.norm() * m.norm()))
            assert cka(x, y, debiased=debiased) == pytest.approx(expected, abs=1e-12)


def test_rotation_and_shift_of_one_side_change_nothing():
    x, y = randn(0, 25, 6), randn(0, 25, 6) + randn(1, 25, 6)
    rotation = torch.linalg.qr(randn(2, 6, 6)).Q
    for kernel in KERNELS:
        assert cka(x @ rotation + 3, y, kernel=kernel) == pytest.approx(cka(x, y, kernel=kernel))
    skew = torch.diag(torch.tensor([9.0, 1, 1, 1, 0.1, 0.1], dtype=torch.float64))
    assert abs(cka(x @ skew, y) - cka(x, y)) > 0.01


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
@pytest.mark.parametrize("kernel", KERNELS)
def test_a_mean_of_1e4_sd_costs_no_digits(dtype, kernel):
    x = (randn(0, 40, 6) + 1e4).to(dtype)
    y = (randn(0, 40, 6) + randn(1, 40, 6) - 1e4).to(dtype)
    exact = [(z.double() + offset) for z, offset in ((x, -1e4), (y, 1e4))]  # exact: the mean is a short number
    assert cka(x, y, kernel=kernel) == pytest.approx(cka(*exact, kernel=kernel), abs=1e-9)
    k, m = KERNELS[kernel](exact[0][:7]), KERNELS[kernel](exact[1][:7])
    expected = u_statistic(k, m) / sqrt(u_statistic(k, k) * u_statistic(m, m))
    assert cka(x[:7], y[:7], kernel=kernel) == pytest.approx(expected, abs=1e-9)


def test_constant_features_are_nan():
    for kernel, debiased, value in product(KERNELS, (True, False), (0.0, 1.0, 0.1, 1e8)):
        with case(kernel, debiased, value):
            constant, y = torch.full((20, 3), value), randn(0, 20, 4)
            for a, b in ((constant, y), (y, constant), (constant, constant)):
                assert isnan(cka(a, b, kernel=kernel, debiased=debiased))


def test_one_image_against_a_point_has_no_debiased_similarity():
    """All but one image coincide: the sum over distinct indices is exactly 0/0, and rounding must not fill it in."""
    for n in (8, 20, 40, 100):
        with case(n):
            x, y = torch.zeros(n, 5, dtype=torch.float64), randn(1, n, 4)
            x[0] = randn(0, 5)
            assert u_statistic(linear_kernel(x[:8]), linear_kernel(x[:8])) == 0
            assert isnan(cka(x, x))
            assert isnan(cka(x, y))


def test_rbf_bandwidth_of_mostly_coincident_points():
    """More than half of all distances are 0 and so is their median: no bandwidth, so NaN, and not one made of
    rounding errors."""
    for n, seed in product((20, 60), range(4)):
        with case(n, seed):
            x = randn(seed, n, 16)
            x[n // 6 :] = x[-1]
            assert isnan(cka(x, randn(9, n, 4), kernel="rbf"))


@pytest.mark.parametrize("seed", range(3))
def test_of_kept_equals_cka_of_the_subset(seed):
    x = randn(seed, 30, 4)
    y = x.flip(1) + 2 * randn(seed + 10, 30, 4)
    keep = torch.rand(25, 30, generator=torch.Generator().manual_seed(seed)) < 0.5
    values = cka_masked(gram(x), gram(y), keep)
    assert values.shape == (25,)
    for row, value in zip(keep, values.tolist(), strict=True):
        assert value == pytest.approx(cka(x[row], y[row]), abs=1e-10)
    row = keep[0].nonzero().flatten()[:7]  # and one against the slow sums
    only = torch.zeros(1, 30, dtype=torch.bool)
    only[0, row] = True
    k, m = linear_kernel(x[row]), linear_kernel(y[row])
    expected = u_statistic(k, m) / sqrt(u_statistic(k, k) * u_statistic(m, m))
    assert float(cka_masked(gram(x), gram(y), only)) == pytest.approx(expected, abs=1e-10)


def test_of_kept_is_nan_below_four_images():
    keep = torch.zeros(2, 10, dtype=torch.bool)
    keep[0, :3] = True
    assert cka_masked(gram(randn(0, 10, 3)), gram(randn(1, 10, 3)), keep).isnan().all()


def test_bad_input_is_named():
    for arguments, options, message in (
        ((torch.zeros(5, 2), torch.zeros(6, 2)), {}, r"received \(5, 2\) and \(6, 2\)"),
        ((torch.zeros(5), torch.zeros(5)), {}, r"x: expected \(n, d\), received \(5,\)"),
        ((torch.zeros(3, 2), torch.zeros(3, 2)), {}, "at least 4 rows, received 3"),
        ((torch.full((5, 2), torch.nan), torch.zeros(5, 2)), {}, "^x: expected finite features, received NaN"),
        ((torch.ones(5, 9), torch.full((5, 9), torch.inf)), {"kernel": "rbf"}, "^y: expected finite features"),
        ((torch.zeros(5, 2), torch.zeros(5, 2)), {"kernel": "cosine"}, "expected 'linear' or 'rbf', received 'cosine'"),
    ):
        with case(message), pytest.raises(InputError, match=message):
            cka(*arguments, **options)
