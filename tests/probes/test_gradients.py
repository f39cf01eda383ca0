"""Gradient alignment: the estimator on planted gradients, and the gradients against a loop over images."""

import copy
from functools import cache
from itertools import combinations
from math import isnan, nan, sqrt

import pytest
import torch
from intertwine.probes import align, block_gradients, gradient_blocks, gram_matrices, layer_weights, task_loss
from intertwine.probes.gradients import WHOLE, same_task
from intertwine.probes.linear import LinearHead
from intertwine.representations import EncoderSpec, InputError, build_encoder, wrap
from intertwine.representations.seeds import generator
from torch import nn
from torch.nn.functional import cross_entropy


def randn(seed: int, *shape: int) -> torch.Tensor:
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)


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


def test_every_number_by_loops():
    g, h = planted(3, 0.5, blocks=7, noise=0.5)
    pairs = [(i, j) for i in range(7) for j in range(7) if i != j]

    def mean_product(a, b, left_out=None):
        terms = [float(a[i] @ b[j]) for i, j in pairs if left_out not in (i, j)]
        return sum(terms) / len(terms)

    def ratio(left_out=None):
        own = mean_product(g, g, left_out) * mean_product(h, h, left_out)
        return mean_product(g, h, left_out) / sqrt(own)

    a = align(gram(g, h))
    assert a.value == pytest.approx(ratio())
    assert a.naive == pytest.approx(cosine_of_means(g, h))
    assert a.norm_g == pytest.approx(sqrt(mean_product(g, g)))
    assert a.norm_h == pytest.approx(sqrt(mean_product(h, h)))
    pseudo = [7 * ratio() - 6 * ratio(i) for i in range(7)]
    mean = sum(pseudo) / 7
    se = sqrt(sum((p - mean) ** 2 for p in pseudo) / 6 / 7)
    reach = 2.446912 * se  # t(.975, 6)
    assert a.interval == pytest.approx((ratio() - reach, ratio() + reach), rel=1e-5)
    assert a.status == "ok"
    wide = align(gram(g, h), level=0.99).interval
    assert wide[1] - wide[0] == pytest.approx(2 * 3.707428 * se, rel=1e-5)


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


@pytest.mark.parametrize("cosine", [0.0, 0.6, -0.6])
def test_noise_that_both_tasks_share_biases_the_means_but_not_the_corrected_value(cosine):
    """The same images are behind g and h, so that one block's noise is in both."""
    results = [align(gram(*planted(seed, cosine, shared=True))) for seed in range(60)]
    assert sum(r.value for r in results) / 60 == pytest.approx(cosine, abs=0.04)
    naive = sum(r.naive for r in results) / 60
    assert naive > cosine + 0.06


@pytest.mark.parametrize("shared", [False, True])
def test_the_interval_covers_the_true_cosine(shared):
    results = [align(gram(*planted(seed, 0.6, blocks=24, noise=1.5, shared=shared))) for seed in range(250)]
    assert all(r.status == "ok" for r in results)
    covered = sum(r.interval[0] <= 0.6 <= r.interval[1] for r in results) / 250
    assert 0.91 <= covered <= 0.985


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


@pytest.mark.parametrize("factor", [1e-9, 1e-4, 1e9])
@pytest.mark.parametrize("task", [0, 1])
def test_the_length_of_either_task_changes_nothing(task, factor):
    """A task that is solved has a tiny gradient: there is no absolute ε."""
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


@pytest.mark.parametrize("rank", [1, 30, 100])
@pytest.mark.parametrize("noisy", ["g", "h", "both"])
def test_pure_noise_is_not_estimable(noisy, rank):
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


@pytest.mark.parametrize("shape", [(6, 6), (7, 7), (9, 9), (8, 10), (0, 0)])
def test_a_bad_gram_is_named(shape):
    with pytest.raises(InputError, match=rf"gram: expected \(2B, 2B\) with B ≥ 4, received \({shape[0]}, {shape[1]}\)"):
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
    """Coins as they are drawn, then sums over i ≠ j and over draws *before* dividing, nothing left out or cut off."""
    blocks = len(matrix) // 2
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


@pytest.mark.parametrize("noise", [0.5, 2.0, 7.0])
def test_same_task_sums_over_draws_before_it_divides(noise):
    """At a noise of 7 some draws have a negative self-term: they must stay in the sums, or the value is biased."""
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


def test_the_interval_of_same_task_holds_the_middle_of_the_draws():
    matrix = gram(*planted(0, 0.5, blocks=24, noise=1.0))
    _, values = slow_same_task(matrix, 100, 3)
    end = same_task(matrix, draws=100, seed=3)
    assert sum(end.interval[0] <= v <= end.interval[1] for v in values) in (94, 95, 96)
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


def images(n: int, seed: int = 0) -> torch.Tensor:
    stream = torch.Generator().manual_seed(seed)
    return torch.randint(256, (n, 3, 8, 8), dtype=torch.uint8, generator=stream)


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


def test_too_few_images_for_blocks():
    with pytest.raises(InputError, match="images: expected at least 16 for gradient alignment, received 15"):
        gradient_blocks(15)


@pytest.mark.parametrize("blocks", [3, 0])
def test_too_few_blocks_are_not_blamed_on_the_images(blocks):
    with pytest.raises(InputError, match="blocks"):
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


# --- from images to alignment: planted learners


class TwoBranches(nn.Module):
    """Two tasks on disjoint parameters: each branch makes its own half of the features."""

    def __init__(self) -> None:
        super().__init__()
        self.left, self.right = nn.Linear(192, 4), nn.Linear(192, 4)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return torch.cat([self.left(x.flatten(1)), self.right(x.flatten(1))], 1)


@pytest.mark.parametrize(
    ("first", "second", "expected"), [("left", "left", 1.0), ("left", "right", 0.0), ("left", "-left", -1.0)]
)
def test_planted_learners(first, second, expected):
    """Two copies of one task: 1. Two tasks on disjoint weights: 0. A task and its undoing: −1."""
    torch.manual_seed(0)
    encoder = wrap(TwoBranches())
    x, blocks = images(96), gradient_blocks(96)

    def loss(task):
        columns = slice(0, 4) if "left" in task else slice(4, 8)
        return lambda features, index: (-1 if "-" in task else 1) * features[:, columns].square().mean()

    g, h = (block_gradients(encoder, loss(task), blocks, x) for task in (first, second))
    for matrix in gram_matrices(g, h).values():
        a = align(matrix)
        assert a.status == "ok"
        assert a.value == pytest.approx(expected, abs=1e-5)
