"""Gradient alignment: the estimator on planted gradients, by loops and by what it promises."""

from itertools import combinations, product
from math import isnan, nan, sqrt

import numpy as np
import pytest
import torch
from intertwine.probes import (
    align,
    gradient_blocks,
)
from intertwine.probes.planted import planted_gradients
from intertwine.representations import InputError
from scipy.linalg import sqrtm

from tests.factories import case
from tests.probes.planted_pairs import directions, gram, planted


def cosine_of_means(g: torch.Tensor, h: torch.Tensor) -> float:
    a, b = [sum(column) for column in g.T.tolist()], [sum(column) for column in h.T.tolist()]
    dot = sum(x * y for x, y in zip(a, b, strict=True))
    return dot / sqrt(sum(x * x for x in a) * sum(y * y for y in b))


def over_splits(g: torch.Tensor, h: torch.Tensor, splits) -> float:
    """Halves A and B of each split: Σ (g_A·h_B + g_B·h_A)/2 over √(Σ g_A·g_B · Σ h_A·h_B), summed before dividing."""
    cross = own_g = own_h = 0.0
    for half in splits:
        rest = [i for i in range(len(g)) if i not in half]
        g_a, g_b = g[list(half)].mean(0), g[rest].mean(0)
        h_a, h_b = h[list(half)].mean(0), h[rest].mean(0)
        cross += float(g_a @ h_b + g_b @ h_a) / 2
        own_g += float(g_a @ g_b)
        own_h += float(h_a @ h_b)
    return cross / sqrt(own_g * own_h)


# --- align: what it computes


@pytest.mark.parametrize("blocks", [4, 6, 8])
def test_it_is_the_mean_over_all_balanced_splits(blocks):
    g, h = planted(0, 0.6, blocks=blocks, noise=0.7)
    expected = over_splits(g, h, combinations(range(blocks), blocks // 2))
    assert align(gram(g, h)).value == pytest.approx(expected)


def test_random_splits_converge_to_it():
    g, h = planted(0, 0.6, blocks=24, noise=2.0)
    stream = torch.Generator().manual_seed(0)
    splits = [torch.randperm(24, generator=stream)[:12].tolist() for _ in range(2000)]
    expected = align(gram(g, h)).value
    assert over_splits(g, h, splits) == pytest.approx(expected, abs=0.02)
    # Twenty splits, the least that will do, are near; one split is not reliably so.
    assert over_splits(g, h, splits[:20]) == pytest.approx(expected, abs=0.3)


def slow_covariance(kernels: list[torch.Tensor]) -> np.ndarray:
    """V_J − 2·q·V_J⁻¹·q by leaving out each block, and by a least-squares fit of block effects to the pairs."""
    blocks = len(kernels[0])
    pairs = list(combinations(range(blocks), 2))
    design = np.array([[1.0] + [float(b in pair) for b in range(blocks)] for pair in pairs])
    pseudo, rests = [], []
    for k in kernels:
        entries = np.array([float(k[i, j] + k[j, i]) / 2 for i, j in pairs])
        without = [np.mean([e for e, pair in zip(entries, pairs, strict=True) if b not in pair]) for b in range(blocks)]
        pseudo.append([blocks * entries.mean() - (blocks - 1) * w for w in without])
        rests.append(entries - design @ np.linalg.lstsq(design, entries, rcond=None)[0])
    jackknife = np.atleast_2d(np.cov(pseudo)) / blocks
    q = 2 * (np.array(rests) @ np.array(rests).T / (len(pairs) - blocks)) / (blocks * (blocks - 1))
    root = np.real(sqrtm(jackknife))
    size, axes = np.linalg.eigh(np.linalg.inv(root) @ q @ np.linalg.inv(root))
    return root @ axes @ np.diag(1 - 2 * np.minimum(size, 0.5) ** 2) @ axes.T @ root


@pytest.mark.parametrize(("noise", "level", "t"), [(0.3, 0.95, 2.446912), (0.5, 0.95, 2.446912), (0.5, 0.99, 3.707428)])
def test_every_number_by_loops(noise, level, t):
    g, h = planted(3, 0.5, blocks=7, noise=noise)
    pairs = [(i, j) for i in range(7) for j in range(7) if i != j]

    def mean_product(a, b):
        return sum(float(a[i] @ b[j]) for i, j in pairs) / len(pairs)

    own_g, own_h, cross = mean_product(g, g), mean_product(h, h), mean_product(g, h)
    a = align(gram(g, h), level=level)
    assert a.value == pytest.approx(cross / sqrt(own_g * own_h))
    assert a.naive == pytest.approx(cosine_of_means(g, h))
    assert (a.norm_g, a.norm_h) == pytest.approx((sqrt(own_g), sqrt(own_h)))
    assert a.status == "ok"
    # At either end C − θS is t of its errors away from 0, S being linear in its two factors and raised by a bias.
    s = sqrt(own_g * own_h)
    v = slow_covariance([g @ h.T, s / 2 * (g @ g.T / own_g + h @ h.T / own_h)])
    logs = slow_covariance([g @ g.T / own_g, h @ h.T / own_h])
    s *= 1 + (logs[0, 0] + logs[1, 1] - 2 * logs[0, 1]) / 8
    for theta, sign in zip(a.interval, (1, -1), strict=True):
        error = sqrt(v[0, 0] - 2 * theta * v[0, 1] + theta**2 * v[1, 1])
        assert cross - theta * s == pytest.approx(sign * t * error, rel=1e-5)


def test_reliability_is_told_from_zero_by_its_own_error():
    """Status turns where a self-term is t(.975, B − 1) of its errors: the noise at which it does, on either side."""
    statuses = set()
    for noise in (2.0, 4.0, 5.0, 6.0, 8.0):
        for seed in range(4):
            g, h = planted(seed, 0.6, blocks=12, noise=noise, rank=30)
            told = [x.sum() - x.trace() > 0 and
                    float(x.sum() - x.trace()) / 132 > 2.200985 * sqrt(slow_covariance([x])[0, 0])
                    for x in (g @ g.T, h @ h.T)]  # fmt: skip
            a = align(gram(g, h))
            assert a.status == "not_estimable" or all(told)
            if not all(told):
                assert a.status == "not_estimable"
                assert all(isnan(end) for end in a.interval)
            statuses.add(a.status)
    assert statuses == {"ok", "not_estimable"}


# --- align: what it promises


def test_unbiased_where_the_naive_cosine_shrinks():
    """True cosine .6, 200 blocks, low-rank noise."""
    results = [align(gram(*planted(seed, 0.6))) for seed in range(60)]
    values = [r.value for r in results]
    assert sum(values) / 60 == pytest.approx(0.6, abs=0.03)
    naive = sum(r.naive for r in results) / 60
    assert naive < 0.52
    assert all(r.status == "ok" for r in results)
    assert sum(r.norm_g for r in results) / 60 == pytest.approx(1, abs=0.05)


def test_defect_naive_small_batch_cosine_shrinks():
    """One batch of 64 images: .6 true, about .23 naive; corrected over 24 blocks it is .6 again."""
    batch = [planted(seed, 0.6, blocks=1, noise=1.25) for seed in range(300)]
    naive = sum(cosine_of_means(g, h) for g, h in batch) / 300
    assert naive == pytest.approx(0.6 / (1 + 1.25**2), abs=0.03)
    assert naive < 0.26
    corrected = [align(gram(*planted(seed, 0.6, blocks=24, noise=1.25))).value for seed in range(60)]
    assert sum(corrected) / 60 == pytest.approx(0.6, abs=0.03)


def test_one_half_against_the_other_shrinks_too_until_it_is_divided():
    """Split halves take away the noise that g and h share, and no other."""
    halves = [planted(seed, 0.6, blocks=2, noise=1.25, shared=True) for seed in range(300)]
    together = sum(float(torch.cosine_similarity(g[0], h[0], dim=0)) for g, h in halves) / 300
    apart = sum(float(torch.cosine_similarity(g[0], h[1], dim=0)) for g, h in halves) / 300
    assert together > 0.75
    assert apart < 0.3


def test_defect_absolute_gradients_are_always_aligned():
    """OrthogLinearBackdoor compares |gradients|: unrelated tasks look alike, and opposite tasks like one."""
    g, h = planted(0, 0.0, blocks=24, noise=0.5)
    opposite = align(gram(g, -g))
    unrelated = align(gram(g, h))
    assert opposite.value == pytest.approx(-1)
    assert abs(unrelated.value) < 0.1
    assert align(gram(g.abs(), h.abs())).value > 0.5
    assert align(gram(g.abs(), (-g).abs())).value == pytest.approx(1)


def test_defect_one_batch_read_eight_times():
    """Blocks that repeat their images bring their noise again, which then passes for signal: blocks are disjoint."""
    again, fresh = [], []
    for seed in range(40):
        g, h = planted(seed, 0.0, blocks=8, noise=2.0, shared=True)
        again.append(align(gram(g[:1].expand(8, -1), h[:1].expand(8, -1))).value)
        fresh.append(align(gram(g, h)).value)
    assert sum(again) / 40 > 0.6
    assert abs(sum(fresh) / 40) < 0.15
    index = torch.cat(gradient_blocks(200, most=100))
    assert len(index.unique()) == len(index) == 100


@pytest.mark.parametrize("cosine", [0.0, 0.6, -0.6])
def test_noise_that_both_tasks_share_biases_the_means_but_not_the_corrected_value(cosine):
    """The same images are behind g and h, so that one block's noise is in both."""
    results = [align(gram(*planted(seed, cosine, shared=True))) for seed in range(60)]
    assert sum(r.value for r in results) / 60 == pytest.approx(cosine, abs=0.04)
    naive = sum(r.naive for r in results) / 60
    assert naive > cosine + 0.06


@pytest.mark.parametrize(("blocks", "noise"), [(8, 1.0), (16, 2.0), (24, 0.5), (24, 3.0)])
def test_the_interval_covers_the_true_cosine(blocks, noise):
    """Noise of low rank, half of it in both tasks. (The benchmark has the whole table.)"""
    rows = covered = 0
    for seed, cosine in enumerate((-0.3, 0.0, 0.3, 0.6, 0.9)):
        grams = planted_gradients(cosine, blocks=blocks, noise=noise, draws=160, seed=seed)
        results = [a for a in map(align, grams) if a.status == "ok"]
        rows += len(results)
        covered += sum(a.interval[0] <= cosine <= a.interval[1] for a in results)
    assert rows > 700
    assert 0.92 <= covered / rows <= 0.98


def test_the_interval_holds_where_few_rows_are_ok():
    """Weak signals: half of the rows are ok. The pseudo-values' value ± t·error would cover half of these."""
    grams = planted_gradients(0.0, blocks=16, noise=3.5, shared=0.9, draws=400)
    results = [a for a in map(align, grams) if a.status == "ok"]
    assert 100 < len(results) < 390
    assert 0.92 <= sum(a.interval[0] <= 0 <= a.interval[1] for a in results) / len(results) <= 0.99


def test_the_interval_is_wide_on_the_side_of_the_noise():
    """Fieller's interval is not symmetric: a denominator that may be small lets the cosine be large."""
    wide = [align(m) for m in planted_gradients(0.6, blocks=16, noise=3.0, shared=0.0, draws=40)]
    upper = [a.interval[1] - a.value for a in wide if a.status == "ok"]
    lower = [a.value - a.interval[0] for a in wide if a.status == "ok"]
    assert sum(upper) > 1.2 * sum(lower)


@pytest.mark.parametrize(("sign", "expected"), [(1, 1.0), (-1, -1.0)])
def test_identical_and_opposite_tasks(sign, expected):
    for seed in range(3):
        g, _ = planted(seed, 0.0, blocks=24, noise=2.0)
        a = align(gram(g, sign * g))
        assert a.value == pytest.approx(expected)
        assert a.interval == pytest.approx((expected, expected), abs=1e-6)
        assert a.status == "ok"


def test_the_value_is_not_clamped():
    """The same mean, other noise: half of the estimates lie above 1, and their average is 1."""
    values = [align(gram(*planted(seed, 1.0, blocks=24, noise=1.5))).value for seed in range(100)]
    assert max(values) > 1.02
    assert sum(values) / 100 == pytest.approx(1, abs=0.02)


def test_the_length_of_either_task_changes_nothing():
    """A task that is solved has a tiny gradient: there is no absolute ε."""
    for factor, task in product((1e-9, 1e-4, 1e9), (0, 1)):
        with case(factor, task):
            gradients = list(planted(1, 0.6, blocks=24, noise=2.0))
            before = align(gram(*gradients))
            gradients[task] = gradients[task] * factor
            after = align(gram(*gradients))
            assert after.value == pytest.approx(before.value)
            assert after.interval == pytest.approx(before.interval)
            assert after.naive == pytest.approx(before.naive)
            assert after.status == before.status
            norms = [before.norm_g, before.norm_h]
            norms[task] *= factor
            assert (after.norm_g, after.norm_h) == pytest.approx(tuple(norms))


def test_pure_noise_is_not_estimable():
    for rank, noisy in product((1, 30, 100), ("g", "h", "both")):
        with case(rank, noisy):
            statuses = []
            for seed in range(15):
                g, h = planted(seed, 0.6, blocks=24, noise=2.0, rank=rank)
                mean_g, mean_h = directions(100, 0.6)
                g = g - mean_g if noisy in ("g", "both") else g
                h = h - mean_h if noisy in ("h", "both") else h
                statuses.append(align(gram(g, h)).status)
            assert statuses.count("not_estimable") >= 14


def test_no_gradient_at_all_is_not_estimable():
    a = align(torch.zeros(16, 16, dtype=torch.float64))
    assert a.status == "not_estimable"
    assert isnan(a.value)
    assert all(isnan(end) for end in a.interval)
    assert (a.norm_g, a.norm_h) == (0, 0)


def test_a_gram_that_is_not_finite_is_named():
    with pytest.raises(InputError, match="gram: expected finite inner products, received NaN or infinity"):
        align(torch.full((16, 16), nan))


def test_a_bad_gram_is_named():
    for shape in ((6, 6), (7, 7), (9, 9), (8, 10), (0, 0)):
        with (
            case(shape),
            pytest.raises(
                InputError, match=rf"gram: expected \(2B, 2B\) with B ≥ 4, received \({shape[0]}, {shape[1]}\)"
            ),
        ):
            align(torch.zeros(shape))
