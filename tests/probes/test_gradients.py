"""Gradient alignment: the estimator on planted gradients, and the gradients against a loop over images."""

import copy
from functools import cache
from itertools import combinations, product
from math import isnan, nan, sqrt

import numpy as np
import pytest
import torch
from intertwine.probes import (
    align,
    block_gradients,
    gradient_blocks,
    gradients,
    gram_matrices,
    layer_weights,
    task_loss,
)
from intertwine.probes.alignment import same_task
from intertwine.probes.gradients import WHOLE, alignment_grams, own_loss
from intertwine.probes.linear import LinearHead
from intertwine.probes.planted import planted_gradients
from intertwine.representations import EncoderSpec, InputError, build_encoder, wrap
from intertwine.representations.seeds import generator
from intertwine.training.augment import Augment
from intertwine.training.objectives import SimCLR, SupCon, Supervised, nt_xent, supcon_loss
from intertwine.training.triggers import Patch
from scipy.linalg import sqrtm
from torch import nn
from torch.nn.functional import cross_entropy

from tests.factories import case, images, randn


def gram(g: torch.Tensor, h: torch.Tensor) -> torch.Tensor:
    stacked = torch.cat([g, h])
    return stacked @ stacked.T


@cache
def orthonormal(seed: int, p: int, rank: int) -> torch.Tensor:
    """Rows of unit length at right angles, ``(rank, p)``."""
    return torch.linalg.qr(randn(seed, p, rank)).Q.T


def directions(p: int, cosine: float) -> tuple[torch.Tensor, torch.Tensor]:
    """Two unit vectors at the given cosine."""
    a, b = orthonormal(0, p, 2)
    return a, cosine * a + sqrt(1 - cosine**2) * b


def planted(seed: int, cosine: float, *, blocks: int = 200, noise: float = 7.0, rank: int = 30, shared: bool = False):
    """Block gradients of two tasks: a mean of length 1 plus low-rank noise of length ``noise`` a block, the same noise
    in both tasks if ``shared``."""
    mean_g, mean_h = directions(100, cosine)
    basis = orthonormal(1, 100, rank)
    first = noise / sqrt(rank) * randn(10 + seed, blocks, rank) @ basis
    second = first if shared else noise / sqrt(rank) * randn(50_000 + seed, blocks, rank) @ basis
    return mean_g + first, mean_h + second


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


# --- same_task


@pytest.mark.parametrize("cosine", [0.6, 0.0, -0.3])
def test_same_task_is_near_one_whatever_the_two_tasks_are(cosine):
    """In every block a coin decides which gradient is the benign one: both sides then have one mean."""
    grams = [gram(*planted(seed, cosine, blocks=24, noise=0.5)) for seed in range(3)]
    values = [same_task(matrix, draws=100, seed=seed) for seed, matrix in enumerate(grams)]
    assert [v.status for v in values] == ["ok"] * 3
    for end in values:
        assert end.value == pytest.approx(1, abs=0.06)  # up to the coins
        assert end.interval[0] < 1 < end.interval[1]
        assert 0.01 < end.interval[1] - end.interval[0] < 2


def slow_same_task(matrix: torch.Tensor, draws: int, seed: int) -> tuple[float, list[float]]:
    """Tasks of one length; coins as they are drawn, then sums over i ≠ j and over draws *before* dividing, nothing left
    out or cut off."""
    blocks = len(matrix) // 2
    lengths = [sqrt(sum(float(matrix[i, i]) for i in part)) for part in (range(blocks), range(blocks, 2 * blocks))]
    unit = torch.tensor([1 / lengths[i // blocks] for i in range(2 * blocks)], dtype=torch.float64)
    matrix = matrix * unit[:, None] * unit
    cross = own_a = own_b = 0.0
    values = []
    for draw in range(draws):
        coins = (torch.rand(blocks, generator=generator(seed, "same-task", draw)) < 0.5).tolist()
        a = [i + blocks if coin else i for i, coin in enumerate(coins)]
        b = [i if coin else i + blocks for i, coin in enumerate(coins)]
        index_a, index_b = torch.tensor(a), torch.tensor(b)

        def off_diagonal(rows, columns):
            part = matrix[rows][:, columns]
            return float(part.sum() - part.diagonal().sum())

        terms = off_diagonal(index_a, index_b), off_diagonal(index_a, index_a), off_diagonal(index_b, index_b)
        cross, own_a, own_b = cross + terms[0], own_a + terms[1], own_b + terms[2]
        values.append(terms[0] / sqrt(terms[1] * terms[2]) if min(terms[1:]) > 0 else nan)
    return cross / sqrt(own_a * own_b), values


def test_same_task_sums_over_draws_before_it_divides():
    """At a noise of 7 some draws have a negative self-term: they must stay in the sums, or the value is biased."""
    for noise in (0.5, 2.0, 7.0):
        with case(noise):
            matrix = gram(*planted(0, 0.5, blocks=24, noise=noise))
            expected, values = slow_same_task(matrix, 200, 3)
            assert any(isnan(v) for v in values) == (noise > 5)
            assert same_task(matrix, draws=200, seed=3).value == pytest.approx(expected, abs=1e-6)


@pytest.mark.parametrize("factor", [1e-24, 1e-12, 1e12, 1e24])
def test_the_length_of_the_gradients_changes_nothing_in_same_task(factor):
    """Its sums are float64 like everything else: squares of small gradients must not underflow."""
    g, h = planted(0, 0.5, blocks=24, noise=1.0)
    before, after = (same_task(gram(f * g, f * h), draws=20) for f in (1.0, factor))
    assert after.value == pytest.approx(before.value, rel=1e-6)
    assert after.interval == pytest.approx(before.interval, rel=1e-6)


@pytest.mark.parametrize("factor", [1.0, 5.0])
@pytest.mark.parametrize("noise", [1.0, 3.0])
def test_the_interval_of_same_task_holds_the_alignment_of_one_task(noise, factor):
    """If both losses are one task, what was measured is one more draw of the coins: inside 19 times of 20, also where
    one gradient is longer."""
    inside = 0
    scale = torch.tensor([1.0] * 24 + [factor] * 24, dtype=torch.float64)
    for matrix in planted_gradients(1.0, noise=noise, draws=200, seed=1):
        matrix = matrix * scale * scale[:, None]
        low, high = same_task(matrix, draws=100).interval
        inside += low <= align(matrix).value <= high
    assert 0.90 <= inside / 200 <= 0.985


def test_two_tasks_are_outside_the_interval_of_one_task():
    for matrix in planted_gradients(0.3, noise=1.0, draws=20):
        assert align(matrix).value < same_task(matrix, draws=100).interval[0]


def test_the_interval_of_same_task_holds_the_middle_of_the_draws():
    matrix = gram(*planted(0, 0.5, blocks=24, noise=1.0))
    _, values = slow_same_task(matrix, 100, 3)
    end = same_task(matrix, draws=100, seed=3)
    assert sum(end.interval[0] <= v <= end.interval[1] for v in values) in (
        96,
        97,
    )  # of which one more draw is as likely outside
    narrow = same_task(matrix, draws=100, level=0.5, seed=3).interval
    assert sum(narrow[0] <= v <= narrow[1] for v in values) in (49, 50, 51)


def test_same_task_is_seeded():
    matrix = gram(*planted(0, 0.5, blocks=24, noise=1.0))
    assert same_task(matrix, draws=5, seed=1).value == same_task(matrix, draws=5, seed=1).value
    assert same_task(matrix, draws=5, seed=1).value != same_task(matrix, draws=5, seed=2).value


def test_same_task_of_opposite_tasks_is_not_estimable():
    """g and −g have no common mean to estimate."""
    g, _ = planted(0, 0.5, blocks=24, noise=0.0)
    assert same_task(torch.zeros(16, 16, dtype=torch.float64)).status == "not_estimable"
    assert same_task(gram(g, -g)).status == "not_estimable"


# --- gradients


@pytest.fixture
def encoder():
    """A small encoder whose BN statistics are not those of its initialisation, in training mode."""
    encoder = build_encoder(EncoderSpec("resnet8", width=4, image_size=8)).train()
    with torch.no_grad():
        encoder(images(40, seed=9))
    return encoder


def a_head(d: int = 32, classes: int = 3) -> LinearHead:
    return LinearHead(randn(5, classes, d) * 3, randn(6, classes))


@pytest.mark.parametrize("transform", [None, lambda x: 1 - x])
def test_block_gradients_are_means_of_single_images_gradients(encoder, transform):
    x, labels = images(13), torch.arange(13) % 3
    blocks = [torch.tensor([4, 0, 9]), torch.tensor([1, 2, 3, 5]), torch.tensor([12]), torch.tensor([6, 7, 8, 10, 11])]
    got = block_gradients(encoder, task_loss(a_head(), labels), blocks, x, transform=transform)
    reference = copy.deepcopy(encoder).eval()
    named = dict(reference.backbone.named_parameters())
    for row, block in enumerate(blocks):
        total = {name: torch.zeros_like(p) for name, p in named.items()}
        for i in block.tolist():
            reference.zero_grad()
            image = x[i : i + 1].float() / 255
            features = reference(transform(image) if transform else image)
            unit = features / features.square().sum().sqrt()
            logits = unit @ a_head().weight.float().T + a_head().bias.float()
            (-logits.log_softmax(1)[0, labels[i]]).backward()
            for name, p in named.items():
                total[name] += p.grad / len(block)
        for layer, names in layer_weights(encoder).items():
            expected = torch.cat([total[name].flatten() for name in names])
            torch.testing.assert_close(got[layer][row], expected, atol=1e-6, rtol=1e-4)
            assert expected.norm() > 0
    assert all(g.dtype == torch.float32 and len(g) == 4 for g in got.values())


@pytest.mark.parametrize("n", [70, 33])
def test_large_blocks_go_through_a_few_images_at_a_time(encoder, n, monkeypatch):
    """The mean over a block, not over its pieces, whose last is shorter; and no more images at once than agreed."""
    loss, blocks = task_loss(a_head(), torch.arange(n) % 3), [torch.randperm(n), torch.arange(20)]
    got = block_gradients(encoder, loss, blocks, images(n))
    seen = []
    encoder.register_forward_pre_hook(lambda _, x: seen.append(len(x[0])))
    monkeypatch.setattr(gradients, "AT_ONCE", n)
    expected = block_gradients(encoder, loss, blocks, images(n))
    assert seen == [n, 20]
    for layer, g in expected.items():
        torch.testing.assert_close(got[layer], g, atol=1e-6, rtol=1e-4)
    seen.clear()
    monkeypatch.undo()
    block_gradients(encoder, loss, blocks, images(n))
    assert max(seen) == 32


def reference_grams(encoder, losses, blocks, x, trigger):
    g, h = (
        block_gradients(encoder, losses[0], blocks, x),
        block_gradients(encoder, losses[1], blocks, x, transform=trigger),
    )
    return gram_matrices(g, h)


@pytest.mark.parametrize("memory", [1, 60_000, 10**9])
def test_grams_in_parts_are_the_grams(encoder, memory):
    """However little memory there is: layers that are cut in two are put together again."""
    x, blocks = images(20), gradient_blocks(20, blocks=5)
    losses = task_loss(a_head(), torch.arange(20) % 3), task_loss(a_head(), torch.zeros(20, dtype=torch.int64))
    triggers = [lambda x: 1 - x, None, lambda x: x.flip(3)]
    got = alignment_grams(encoder, *losses, blocks, x, triggers, memory=memory)
    assert len(got) == 3
    for found, trigger in zip(got, triggers, strict=True):
        expected = reference_grams(encoder, losses, blocks, x, trigger)
        assert list(found) == list(expected)
        for layer, m in expected.items():
            torch.testing.assert_close(found[layer], m, rtol=1e-6, atol=1e-9 * float(m.abs().max()))


def test_parts_hold_every_weight_once_and_no_more_than_fits(encoder):
    layers = layer_weights(encoder)
    for most in (1, 300, 5000, 10**9):
        parts = gradients._parts(encoder, layers, most)
        names = [name for part in parts for names in part.values() for name in names]
        assert names == [name for names in layers.values() for name in names]
        for part in parts:
            chosen = [encoder.backbone.get_parameter(name) for names in part.values() for name in names]
            assert len(chosen) == 1 or sum(p.numel() for p in chosen) <= most
    assert len(parts) == 1


def test_no_weights_no_grams():
    encoder = wrap(nn.Flatten())
    assert alignment_grams(encoder, *[lambda f, i: f.sum()] * 2, gradient_blocks(16), images(16), [None]) == [{}]


def test_defect_a_frozen_backbone_that_was_not(encoder):
    """Gradients are read and nothing else: weights, .grad, requires_grad, modes and BN statistics stay."""
    encoder.backbone.layer2.eval()
    frozen = encoder.backbone.layer1[0].conv1.weight.requires_grad_(False)
    encoder.backbone.conv1.weight.grad = torch.full_like(encoder.backbone.conv1.weight, 7.0)
    state = {name: value.clone() for name, value in encoder.state_dict().items()}
    flags = {name: p.requires_grad for name, p in encoder.named_parameters()}
    modes = {name: m.training for name, m in encoder.named_modules()}
    got = block_gradients(encoder, task_loss(a_head(), torch.arange(12) % 3), [torch.arange(12)], images(12))
    assert got["layer1"].abs().sum() > 0
    assert all(torch.equal(value, state[name]) for name, value in encoder.state_dict().items())
    assert {name: p.requires_grad for name, p in encoder.named_parameters()} == flags
    assert not frozen.requires_grad
    assert {name: m.training for name, m in encoder.named_modules()} == modes
    grads = {name: p.grad for name, p in encoder.named_parameters() if p.grad is not None}
    assert list(grads) == ["backbone.conv1.weight"]
    assert bool((grads["backbone.conv1.weight"] == 7).all())


def test_a_frozen_weight_has_a_gradient_too(encoder):
    loss, blocks = task_loss(a_head(), torch.arange(12) % 3), [torch.arange(12)]
    expected = block_gradients(encoder, loss, blocks, images(12))
    for p in encoder.parameters():
        p.requires_grad_(False)
    with torch.no_grad():
        got = block_gradients(encoder, loss, blocks, images(12))
    for layer, g in expected.items():
        assert torch.equal(got[layer], g)
    assert not any(p.requires_grad for p in encoder.parameters())


def test_everything_is_put_back_after_an_exception(encoder):
    def fail(features, index):
        raise ArithmeticError("loss")

    encoder.backbone.conv1.weight.requires_grad_(False)
    with pytest.raises(ArithmeticError, match="loss"):
        block_gradients(encoder, fail, [torch.arange(4)], images(4))
    assert not encoder.backbone.conv1.weight.requires_grad
    assert encoder.backbone.layer1[0].conv1.weight.requires_grad
    assert all(m.training for m in encoder.modules())


def test_uint8_and_float_images_give_the_same_gradients(encoder):
    loss, blocks = task_loss(a_head(), torch.arange(8) % 3), [torch.arange(4), torch.arange(4, 8)]
    by_float = block_gradients(encoder, loss, blocks, images(8).float() / 255)
    for layer, g in block_gradients(encoder, loss, blocks, images(8)).items():
        assert torch.equal(g, by_float[layer])


def test_weights_that_the_features_do_not_pass_through_have_no_gradient():
    """A foreign model may carry an unused head: zeros or an InputError, no traceback from autograd."""

    class WithHead(nn.Module):
        def __init__(self):
            super().__init__()
            self.body = nn.Sequential(nn.Flatten(), nn.Linear(192, 5))
            self.head = nn.Linear(5, 10)

        def forward(self, x):
            return self.body(x)

    encoder = wrap(WithHead(), layers={"body": "body"})
    try:
        got = block_gradients(encoder, task_loss(a_head(5), torch.arange(8) % 3), [torch.arange(8)], images(8))
    except InputError:
        return
    assert got["body"].abs().sum() > 0
    assert "features" not in got or got["features"].abs().sum() == 0


def test_task_loss_is_the_mean_cross_entropy_of_the_block():
    labels, features = torch.tensor([2, 0, 1, 1, 2]), randn(0, 3, 32)
    index = torch.tensor([4, 1, 2])
    loss = task_loss(a_head(), labels)(features, index)
    rows = a_head()(features).log_softmax(1)
    expected = -(rows[0, 2] + rows[1, 0] + rows[2, 1]) / 3
    assert float(loss) == pytest.approx(float(expected))
    assert float(loss) == pytest.approx(float(cross_entropy(a_head()(features), labels[index])))


# --- layer_weights


@pytest.mark.parametrize("arch", ["resnet8", "resnet18"])
def test_every_weight_is_in_one_layer_and_no_affine_is(arch):
    backbone = build_encoder(EncoderSpec(arch, 4, 8)).backbone
    groups = layer_weights(build_encoder(EncoderSpec(arch, 4, 8)))
    listed = [name for names in groups.values() for name in names]
    kernels = [f"{name}.weight" for name, m in backbone.named_modules() if isinstance(m, nn.Conv2d | nn.Linear)]
    assert sorted(listed) == sorted(kernels)
    assert len(set(listed)) == len(listed)
    assert groups["stem"] == ["conv1.weight"]
    for layer, names in groups.items():
        assert layer == "stem" or all(name.startswith(f"{layer}.") for name in names)
    assert "features" not in groups  # nothing but pooling after the last tap


def test_weights_after_the_last_tap_belong_to_the_features():
    encoder = wrap(
        nn.Sequential(
            nn.Conv2d(3, 4, 3), nn.BatchNorm2d(4), nn.Sequential(nn.Conv2d(4, 4, 3), nn.ReLU()), nn.Flatten(),
            nn.Linear(64, 5), nn.LayerNorm(5),
        ),
        layers={"first": "1", "second": "2"},
    )  # fmt: skip
    assert layer_weights(encoder) == {"first": ["0.weight"], "second": ["2.0.weight"], "features": ["4.weight"]}
    assert layer_weights(wrap(encoder.backbone)) == {"features": ["0.weight", "2.0.weight", "4.weight"]}


def test_layers_without_weights_are_left_out():
    encoder = wrap(nn.Sequential(nn.Conv2d(3, 4, 3), nn.ReLU(), nn.Flatten()), layers={"conv": "0", "relu": "1"})
    assert layer_weights(encoder) == {"conv": ["0.weight"]}
    assert layer_weights(wrap(nn.Flatten())) == {}


def test_the_affine_of_a_normalisation_is_left_out_whatever_its_shape():
    """LayerNorm over (c, h, w) has an affine of three dimensions: still no kernel."""
    encoder = wrap(nn.Sequential(nn.Conv2d(3, 4, 3), nn.LayerNorm([4, 6, 6]), nn.Flatten(), nn.Linear(144, 5)))
    assert layer_weights(encoder) == {"features": ["0.weight", "3.weight"]}


# --- the arm's own loss


def own_views(n: int, seed: int = 0) -> torch.Tensor:
    return torch.stack([images(n, seed=seed), images(n, seed=seed + 1)], 1)


def two_views(features: torch.Tensor) -> torch.Tensor:
    return features.view(-1, 2, features.shape[1]).transpose(0, 1)


@pytest.mark.parametrize("kind", ["simclr", "supcon"])
def test_own_loss_with_the_rest_of_the_batch_as_bank_is_the_batch_loss(kind):
    """Image by image: its two views against the views of all the others."""
    features, labels = randn(0, 2 * 9, 32).float(), torch.arange(9) % 3
    torch.manual_seed(0)
    objective = (SimCLR if kind == "simclr" else SupCon)(32, 16, 8, 0.5)
    with torch.no_grad():
        objective.projector(randn(3, 50, 32).float() * 2)  # running statistics of its own
    objective.eval()
    with torch.no_grad():
        first, second = objective.projector(two_views(features).flatten(0, 1)).chunk(2)
    batch = nt_xent(first, second, 0.5) if kind == "simclr" else supcon_loss(first, second, labels, 0.5)
    for i in range(9):
        others = torch.arange(18) // 2 != i
        loss = own_loss(objective, labels, bank=features[others], bank_labels=labels.repeat_interleave(2)[others])
        assert float(loss(features[2 * i : 2 * i + 2], torch.tensor([i])).detach()) == pytest.approx(
            float(batch[i]), rel=1e-5
        )


def test_own_loss_of_a_classifier_is_its_cross_entropy():
    torch.manual_seed(0)
    objective, labels, features = Supervised(32, 16, 3).eval(), torch.tensor([0, 1, 2, 1]), randn(0, 2, 32).float()
    index = torch.tensor([3, 2])
    expected = objective(features[None], labels[index]).total
    assert float(own_loss(objective, labels)(features, index).detach()) == pytest.approx(float(expected.detach()))
    twice = own_loss(objective, labels)(features.repeat_interleave(2, 0), index)
    assert float(twice.detach()) == pytest.approx(float(expected.detach()))


@pytest.mark.parametrize("kind", ["supervised", "simclr", "supcon"])
def test_own_loss_is_each_images_own_and_leaves_the_head_alone(encoder, kind):
    """The gradient of a block is the mean of its images' gradients: no image is another's negative."""
    torch.manual_seed(0)
    objective = {"supervised": Supervised(32, 16, 3)}.get(kind) or (SimCLR if kind == "simclr" else SupCon)(
        32, 16, 8, 0.5
    )
    state = {name: v.clone() for name, v in objective.state_dict().items()}
    labels, bank = torch.arange(8) % 3, randn(1, 40, 32).float()
    loss = own_loss(objective, labels, bank=bank, bank_labels=torch.arange(40) % 3)
    x = own_views(8)
    whole = block_gradients(encoder, loss, [torch.arange(8)], x)
    single = block_gradients(encoder, loss, [torch.tensor([i]) for i in range(8)], x)
    for layer, g in whole.items():
        assert g.abs().sum() > 0
        torch.testing.assert_close(g[0], single[layer].mean(0), atol=1e-5, rtol=1e-3)
    assert objective.training
    assert all(torch.equal(v, state[name]) for name, v in objective.state_dict().items())
    assert all(p.grad is None and p.requires_grad for p in objective.parameters())


def test_own_loss_of_an_image_with_and_without_trigger(encoder):
    """The two ends: no trigger at all is one task; and the views of both versions are the same draws."""
    torch.manual_seed(0)
    objective, x = SimCLR(32, 16, 8, 0.5), images(48).float() / 255
    augment = Augment(crop=0.5)

    def views(batch):
        return torch.stack([augment(batch, generator(0, "own-loss", v)) for v in (0, 1)], 1)

    with torch.no_grad():
        bank = encoder.eval()(views(images(40, seed=3).float() / 255).flatten(0, 1))
    loss, blocks = own_loss(objective, torch.zeros(48, dtype=torch.int64), bank=bank), gradient_blocks(48)
    clean, triggered = views(x), views(Patch(8)(x))
    benign = block_gradients(encoder, loss, blocks, clean)
    same = align(gram_matrices(benign, block_gradients(encoder, loss, blocks, clean.clone()))[WHOLE])
    assert same.value == pytest.approx(1)
    other = align(gram_matrices(benign, block_gradients(encoder, loss, blocks, triggered))[WHOLE])
    assert other.value < 0.999


def test_own_loss_names_what_is_missing():
    with pytest.raises(InputError, match=r"bank: expected features \(K, d\) of other images, received None"):
        own_loss(SimCLR(4, 4, 2, 0.5), torch.zeros(3, dtype=torch.int64))
    with pytest.raises(InputError, match=r"bank_labels: expected int64 \(5,\) for SupCon, received None"):
        own_loss(SupCon(4, 4, 2, 0.5), torch.zeros(3, dtype=torch.int64), bank=randn(0, 5, 4).float())
    loss = own_loss(SimCLR(4, 4, 2, 0.5), torch.zeros(3, dtype=torch.int64), bank=randn(0, 5, 4).float())
    with pytest.raises(InputError, match="features: expected 2 views of 3 images, received 3 rows"):
        loss(randn(0, 3, 4).float(), torch.arange(3))


# --- gradient_blocks


@pytest.mark.parametrize(
    ("n", "blocks", "expected"), [(16, 24, 4), (19, 24, 4), (95, 24, 23), (500, 24, 24), (50, 5, 5)]
)
def test_blocks_are_disjoint_complete_and_of_nearly_equal_size(n, blocks, expected):
    parts = gradient_blocks(n, blocks=blocks)
    sizes = [len(part) for part in parts]
    assert len(parts) == expected
    assert min(sizes) >= 4
    assert max(sizes) - min(sizes) <= 1
    assert sorted(torch.cat(parts).tolist()) == list(range(n))
    assert torch.cat(parts).tolist() != list(range(n))


def test_blocks_are_seeded():
    first, again, other = (torch.cat(gradient_blocks(100, seed=seed)) for seed in (1, 1, 2))
    assert torch.equal(first, again)
    assert not torch.equal(first, other)


def test_at_most_so_many_images_are_drawn():
    parts = gradient_blocks(1000, most=100)
    index = torch.cat(parts)
    assert len(parts) == 24
    assert len(index) == len(index.unique()) == 100
    assert index.max() > 200  # drawn from all of them
    assert torch.equal(torch.cat(gradient_blocks(100, most=500)), torch.cat(gradient_blocks(100)))
    with pytest.raises(InputError, match="most: expected at least 16 images for gradient alignment, received 15"):
        gradient_blocks(1000, most=15)


def test_too_few_images_for_blocks():
    with pytest.raises(InputError, match="images: expected at least 16 for gradient alignment, received 15"):
        gradient_blocks(15)


def test_too_few_blocks_are_not_blamed_on_the_images():
    for blocks in (3, 0):
        with case(blocks), pytest.raises(InputError, match="blocks"):
            gradient_blocks(100, blocks=blocks)


# --- gram_matrices


def test_gram_matrices_of_layers_and_of_all_weights():
    g = {"a": randn(0, 4, 3).float(), "b": randn(1, 4, 5).float()}
    h = {"a": randn(2, 4, 3).float(), "b": randn(3, 4, 5).float()}
    grams = gram_matrices(g, h)
    assert set(grams) == {"a", "b", WHOLE}
    for layer in ("a", "b"):
        rows = [*g[layer].double(), *h[layer].double()]
        for i, u in enumerate(rows):
            for j, v in enumerate(rows):
                assert float(grams[layer][i, j]) == pytest.approx(float((u * v).sum()))
    torch.testing.assert_close(grams[WHOLE], grams["a"] + grams["b"])
    whole = [torch.cat([x["a"], x["b"]], 1).double() for x in (g, h)]
    torch.testing.assert_close(grams[WHOLE], gram(*whole))


def test_a_large_layer_goes_through_in_pieces():
    width = (1 << 18) + 777
    g, h = {"a": torch.ones(4, width)}, {"a": torch.full((4, width), -2.0)}
    matrix = gram_matrices(g, h)["a"]
    assert matrix.dtype == torch.float64
    assert matrix[0, 0] == width
    assert matrix[0, 5] == -2 * width
    assert matrix[5, 5] == 4 * width
