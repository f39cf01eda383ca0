"""CKA in one pass against the Gram form, and the minibatch estimate against loops."""

from itertools import permutations
from math import isnan, sqrt

import pytest
import torch
from intertwine.representations import EncoderSpec, build_encoder, capture, wrap
from intertwine.representations.errors import InputError
from intertwine.representations.similarity.cka import cka
from intertwine.representations.similarity.layers import cka_layers
from intertwine.representations.similarity.minibatch import MinibatchCKA, minibatch_cka
from intertwine.representations.similarity.streaming import CKA, CKAPairs
from torch import nn
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_flatten


def randn(seed: int, *shape: int) -> torch.Tensor:
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)


def related(seed: int, n: int, d: int, e: int) -> tuple[torch.Tensor, torch.Tensor]:
    """Two representations that share a few directions, with features of unequal sd."""
    z = randn(seed, n, 5)
    x = z @ randn(seed + 1, 5, d) + 2 * randn(seed + 2, n, d)
    return x * (1 + torch.arange(d) % 3), z.square() @ randn(seed + 3, 5, e) + 2 * randn(seed + 4, n, e)


def gram_forms(x: torch.Tensor, y: torch.Tensor) -> list[tuple[float, float]]:
    """HSIC₁ (Song et al., eq. 5, on Gram matrices of centred float64 rows) and the biased HSIC, of xy, xx and yy."""
    n = len(x)
    x, y = x.double() - x.double().mean(0), y.double() - y.double().mean(0)
    k, m = x @ x.T, y @ y.T
    biased = [float(torch.dot(a.flatten(), b.flatten())) / (n - 1) ** 2 for a, b in ((k, m), (k, k), (m, m))]
    k.fill_diagonal_(0)
    m.fill_diagonal_(0)

    def unbiased(a: torch.Tensor, b: torch.Tensor) -> float:
        trace, means = torch.dot(a.flatten(), b.flatten()), a.sum() * b.sum() / ((n - 1) * (n - 2))
        return float(trace + means - 2 * (a.sum(0) @ b.sum(0)) / (n - 2)) / (n * (n - 3))

    return [(unbiased(a, b), c) for (a, b), c in zip(((k, m), (k, k), (m, m)), biased, strict=True)]


def terms_of(pairs: CKAPairs) -> list[float]:
    xy, own = pairs.hsic()
    return [float(xy), *map(float, own)]


def slow_hsic(x: torch.Tensor, y: torch.Tensor) -> float:
    """Song et al., eq. 4: mean over ordered 4-tuples of distinct images of K_ij (L_ij + L_qr − 2 L_iq)."""
    k, m = (x @ x.T).tolist(), (y @ y.T).tolist()
    terms = [k[i][j] * (m[i][j] + m[q][r] - 2 * m[i][q]) for i, j, q, r in permutations(range(len(k)), 4)]
    return sum(terms) / len(terms)


def stream(x: torch.Tensor, y: torch.Tensor, sizes: list[int] | int = 64, **options: bool) -> CKA:
    result = CKA(**options)
    for a, b in zip(x.split(sizes), y.split(sizes), strict=True):
        result.update(a, b)
    return result


def pairs_of(x: dict[str, torch.Tensor], y: dict[str, torch.Tensor], size: int, kind=CKAPairs):
    result = kind()
    for start in range(0, len(next(iter(x.values()))), size):
        result.update(*({name: z[start : start + size] for name, z in side.items()} for side in (x, y)))
    return result


# --- exact


GRID = [(n, d, ratio) for n in (50, 300) for d in (16, 100, 512) for ratio in (0.0, 50.0, 1e4)]


@pytest.mark.parametrize("dtype", [torch.float64, torch.float32])
@pytest.mark.parametrize(("n", "d", "ratio"), [*GRID, (2000, 64, 1e4), (5000, 16, 1e4)])
def test_equals_the_gram_form_to_1e10_of_the_biased_scale(n, d, ratio, dtype):
    x, y = related(n + d, n, d, d // 2 + 3)
    x, y = ((z + ratio * z.std(0) * (-1) ** torch.arange(z.shape[1])).to(dtype) for z in (x, y))
    pairs, forms = pairs_of({"x": x}, {"y": y}, 128), gram_forms(x, y)
    for value, (exact, biased) in zip(terms_of(pairs), forms, strict=True):
        assert abs(value - exact) < 1e-10 * biased
    xy, xx, yy = (exact for exact, _ in forms)
    assert float(pairs.compute().values) == pytest.approx(xy / sqrt(xx * yy), abs=1e-9)


def test_equals_the_gram_form_at_the_far_corner():
    """n = 5,000, d = 512, mean/sd = 10⁴."""
    x, y = (z + 1e4 * z.std(0) for z in related(0, 5000, 512, 512))
    for value, (exact, biased) in zip(terms_of(pairs_of({"x": x}, {"y": y}, 500)), gram_forms(x, y), strict=True):
        assert abs(value - exact) < 1e-10 * biased


@pytest.mark.parametrize("debiased", [True, False])
@pytest.mark.parametrize("sizes", [[40], [1] * 40, [1, 39], [39, 1], [3, 20, 1, 16], [13, 13, 14]])
def test_the_batches_do_not_matter(sizes, debiased):
    x, y = related(0, 40, 6, 9)
    expected = cka(x, y, debiased=debiased)
    assert stream(x, y, sizes, debiased=debiased).compute() == pytest.approx(expected, abs=1e-12)


def test_follows_the_explicit_sums():
    x, y = related(3, 7, 3, 4)
    expected = slow_hsic(x, y) / sqrt(slow_hsic(x, x) * slow_hsic(y, y))
    assert stream(x, y, 3).compute() == pytest.approx(expected, abs=1e-11)


@pytest.mark.parametrize("first", [1, 16])
def test_a_first_batch_far_from_the_rest_costs_no_digits(first):
    """Sorted data: the first batch's mean, where the sums start, is 10⁴ sd from the mean of the others."""
    x, y = related(1, 600, 8, 8)
    x[:first] += 1e4
    order = torch.randperm(600, generator=torch.Generator().manual_seed(0))
    sorted_first, shuffled = pairs_of({"x": x}, {"y": y}, first), pairs_of({"x": x[order]}, {"y": y[order]}, 50)
    for a, b, (exact, biased) in zip(terms_of(sorted_first), terms_of(shuffled), gram_forms(x, y), strict=True):
        assert abs(a - exact) < 1e-12 * biased
        assert abs(b - exact) < 1e-12 * biased


def test_more_updates_may_follow_a_result():
    x, y = related(0, 90, 5, 4)
    result = CKA()
    for i in range(0, 90, 10):
        result.update(x[i : i + 10], y[i : i + 10])
        assert result.compute() == pytest.approx(cka(x[: i + 10], y[: i + 10]), abs=1e-12)
        assert result.compute() == result.compute()
    assert result.n == 90


@pytest.mark.parametrize("scale", [1e-30, 1e-8, 1e8, 1e30])
@pytest.mark.parametrize("debiased", [True, False])
def test_defect_absolute_epsilon_makes_cka_depend_on_scale(scale, debiased):
    x, y = related(0, 30, 5, 4)
    expected = cka(x, y, debiased=debiased)
    assert stream(x * scale, y, debiased=debiased).compute() == pytest.approx(expected, rel=1e-10)
    assert stream(x * scale, y * scale, debiased=debiased).compute() == pytest.approx(expected, rel=1e-10)


def test_rotation_and_shift_of_one_side_change_nothing():
    x, y = related(0, 60, 6, 6)
    rotation = torch.linalg.qr(randn(2, 6, 6)).Q
    assert stream(x @ rotation + 3, y).compute() == pytest.approx(cka(x, y), abs=1e-12)
    assert stream(x, 3 * x @ rotation + 3).compute() == pytest.approx(1, abs=1e-12)


def test_defect_uncentred_float32_sums():
    """At mean/sd = 50, sums of uncentred float32 products are garbage: HSIC of a representation with itself may even be
    negative. What their quotient happens to be hangs on the processor, and may pass for the truth."""
    x, y = related(5, 2000, 64, 64)
    x, y = ((z / z.std(0) + 50).float() for z in (x, y))

    def naive(a: torch.Tensor, b: torch.Tensor) -> torch.Tensor:
        n, p, q, s, t = len(a), a.square().sum(1), b.square().sum(1), a.sum(0), b.sum(0)
        fourth, second = p @ q, a.T @ b
        rows = s @ second @ t - s @ (a.T @ q) - t @ (b.T @ p) + fourth
        means = (s @ s - p.sum()) * (t @ t - q.sum()) / ((n - 1) * (n - 2))
        return (second.square().sum() - fourth + means - 2 * rows / (n - 2)) / (n * (n - 3))

    exact = cka(x, y)
    for z in (x, y):
        assert abs(naive(z, z) / naive(z.double() - 50, z.double() - 50) - 1) > 0.5
    assert naive(x.double() - 50, y.double() - 50) == pytest.approx(gram_forms(x, y)[0][0])  # its algebra is right
    assert stream(x, y, 100).compute() == pytest.approx(exact, abs=1e-11)


def test_defect_biased_cka_is_high_on_noise():
    """d = 512, independent: the biased form says .66 at n = 256 and .05 at 10,000; the debiased one 0."""
    for n, biased in ((256, 0.66), (10_000, 0.05)):
        x, y = randn(n, n, 512), randn(n + 1, n, 512)
        assert stream(x, y, 1000, debiased=False).compute() == pytest.approx(biased, abs=0.01)
        assert stream(x, y, 1000).compute() == pytest.approx(0, abs=0.02)


class Largest(TorchDispatchMode):
    """The largest storage that any operation returns, in bytes; views of ``given`` do not count."""

    def __init__(self, given: torch.Tensor | None = None) -> None:
        super().__init__()
        self.bytes = 0
        self.given = None if given is None else given.untyped_storage().data_ptr()

    def __torch_dispatch__(self, func, types, args=(), kwargs=None):
        result = func(*args, **(kwargs or {}))
        for leaf in tree_flatten(result)[0]:
            if isinstance(leaf, torch.Tensor) and leaf.untyped_storage().data_ptr() != self.given:
                self.bytes = max(self.bytes, leaf.untyped_storage().nbytes())
        return result


def test_memory_is_the_sums_and_one_batch_whatever_n():
    widths, batch = (32, 64), 40
    largest = {}
    for n in (200, 2000):
        pairs = CKAPairs()
        for i in range(0, n, batch):  # made outside the measurement, one batch at a time
            x, y = ({str(w): randn(i + w + j, batch, w) for w in widths} for j in (0, 1))
            with Largest() as seen:
                pairs.update(x, y)
            largest[n] = max(largest.get(n, 0), seen.bytes)
        with Largest() as seen:
            pairs.compute()
        largest[n] = max(largest[n], seen.bytes)
    assert largest[200] == largest[2000] == 8 * sum(widths) ** 2
    with Largest() as seen:  # the measure does see what it should
        cka(randn(0, 200, 300), randn(1, 200, 300))
    assert seen.bytes >= 8 * 200**2


def test_the_large_sum_stays_in_place():
    pairs = pairs_of({"x": randn(0, 64, 20)}, {"y": randn(1, 64, 30)}, 16)
    place = pairs._cross.second.data_ptr()
    pairs.compute()
    pairs.update({"x": randn(2, 64, 20)}, {"y": randn(3, 64, 30)})
    pairs.compute()
    assert pairs._cross.second.data_ptr() == place


# --- all pairs


@pytest.mark.parametrize("debiased", [True, False])
def test_every_pair_of_layers(debiased):
    z, (a, b) = randn(9, 70, 4), related(0, 70, 5, 8)
    x = {"one": a, "wide": randn(1, 70, 100) + 1e3, "three": z.square(), "flat": torch.ones(70, 2).double()}
    y = {"b": b, "z": z + 0.1 * randn(2, 70, 4)}
    pairs = CKAPairs(debiased=debiased)
    for rows in torch.arange(70).split(11):
        pairs.update({n: v[rows] for n, v in x.items()}, {n: v[rows] for n, v in reversed(y.items())})
    result = pairs.compute()
    assert (result.layers_x, result.layers_y) == (tuple(x), ("z", "b"))
    for name_x, row in zip(result.layers_x, result.values.tolist(), strict=True):
        for name_y, value in zip(result.layers_y, row, strict=True):
            assert value == pytest.approx(cka(x[name_x], y[name_y], debiased=debiased), abs=1e-11, nan_ok=True)
    assert result.values[3].isnan().all()
    assert not result.values[:3].isnan().any()


def test_layers_may_come_in_another_order_later():
    x, y = {"a": randn(0, 20, 3), "b": randn(1, 20, 3)}, {"c": randn(2, 20, 2)}
    pairs = CKAPairs().update({k: v[:10] for k, v in x.items()}, {"c": y["c"][:10]})
    pairs.update({k: x[k][10:] for k in ("b", "a")}, {"c": y["c"][10:]})
    expected = [[cka(x["a"], y["c"])], [cka(x["b"], y["c"])]]
    torch.testing.assert_close(pairs.compute().values, torch.tensor(expected, dtype=torch.float64))


# --- degenerate and hostile input


@pytest.mark.parametrize("value", [0.0, 1.0, 0.1, 1e8])
@pytest.mark.parametrize("debiased", [True, False])
@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_constant_features_are_nan(value, debiased, dtype):
    constant, y = torch.full((30, 3), value, dtype=dtype), randn(0, 30, 4)
    for a, b in ((constant, y), (y, constant), (constant, constant)):
        assert isnan(stream(a, b, 7, debiased=debiased).compute())
        assert isnan(stream(a, b, 1, debiased=debiased).compute())


@pytest.mark.parametrize("n", [8, 40, 1000])
def test_one_image_against_a_point_has_no_debiased_similarity(n):
    x, y = torch.zeros(n, 5, dtype=torch.float64), randn(1, n, 4)
    x[0] = randn(0, 5)
    assert isnan(stream(x, x, 7).compute())
    assert isnan(stream(x, y, 7).compute())
    assert stream(x, x, 7, debiased=False).compute() == pytest.approx(1)


@pytest.mark.parametrize("n", [0, 1, 3])
@pytest.mark.parametrize("kind", [CKA, CKAPairs])
def test_fewer_than_four_rows_are_an_error_at_compute(n, kind):
    result = kind()
    for row in randn(0, n, 2).split(1):
        result.update(row, row) if kind is CKA else result.update({"a": row}, {"b": row})
    with pytest.raises(InputError, match=f"at least 4 rows before compute, received {n}"):
        result.compute()


def test_an_empty_batch_is_nothing():
    x, y = related(0, 20, 3, 4)
    result = CKA().update(x[:0], y[:0]).update(x, y).update(x[:0], y[:0])
    assert result.compute() == pytest.approx(cka(x, y))


BAD = randn(9, 6, 3)
BAD[4, 1] = torch.nan  # and not in a row that the minibatch centre is taken from alone


@pytest.mark.parametrize(
    ("x", "y", "message"),
    [
        ({"a": randn(0, 5, 3)}, {"b": randn(0, 4, 2)}, r"y\['b'\]: expected 5 rows .*, received 4"),
        ({"a": randn(0, 5, 2)}, {"b": randn(0, 5, 2)}, r"x\['a'\]: expected 3 columns, received 2"),
        ({"a": randn(0, 5, 3)}, {"b": randn(0, 5, 9)}, r"y\['b'\]: expected 2 columns, received 9"),
        ({"c": randn(0, 5, 3)}, {"b": randn(0, 5, 2)}, "x: expected the layers of the first batch, a; received c"),
        ({"a": randn(0, 5, 3)}, {}, "y: expected at least one layer, received none"),
        ({"a": randn(0, 5)}, {"b": randn(0, 5, 2)}, r"x\['a'\]: expected \(b, d\), received \(5,\)"),
        ({"a": randn(0, 5, 3, 2, 2)}, {"b": randn(0, 5, 2)}, r"received \(5, 3, 2, 2\)"),
        ({"a": BAD}, {"b": randn(0, 6, 2)}, r"x\['a'\]: expected finite activations, received NaN or infinity"),
        ({"a": randn(0, 6, 3)}, {"b": BAD[:, :2].nan_to_num(torch.inf)}, r"y\['b'\]: expected finite activations"),
    ],
)
@pytest.mark.parametrize("kind", [CKAPairs, MinibatchCKA])
def test_a_bad_batch_is_named_and_leaves_the_sums_alone(x, y, message, kind):
    a, b = related(0, 20, 3, 2)
    result = kind().update({"a": a}, {"b": b})
    before = result.compute().values
    with pytest.raises(InputError, match=message):
        result.update(x, y)
    assert torch.equal(result.compute().values, before)
    assert result.n == 20


@pytest.mark.parametrize("kind", [CKAPairs, MinibatchCKA])
def test_a_bad_first_batch_does_not_count_as_first(kind):
    result = kind()
    with pytest.raises(InputError, match="expected finite"):
        result.update({"other": BAD}, {"b": randn(0, 6, 2)})
    a, b = related(0, 20, 3, 2)
    assert result.update({"a": a}, {"b": b}).compute().layers_x == ("a",)


def test_a_single_pair_is_named_without_a_layer():
    with pytest.raises(InputError, match=r"^y: expected 5 rows"):
        CKA().update(randn(0, 5, 2), randn(0, 4, 2))


def test_fourth_powers_out_of_range_are_an_error_and_no_silent_nan():
    with pytest.raises(InputError, match="fourth powers are finite"):
        stream(randn(0, 20, 3) * 1e90, randn(1, 20, 3)).compute()


def test_gradients_are_not_kept():
    x = randn(0, 20, 3).requires_grad_()
    pairs = CKAPairs().update({"a": x}, {"b": x * 2})
    assert not pairs._cross.second.requires_grad
    assert float(pairs.compute().values) == pytest.approx(1)


# --- minibatch


def test_minibatch_is_the_ratio_of_mean_hsics():
    x, y = related(0, 24, 3, 4)
    batches = list(zip(x.split(6), y.split(6), strict=True))
    xy, xx, yy = (
        sum(slow_hsic(*p) for p in pairs) / 4
        for pairs in (batches, [(a, a) for a, _ in batches], [(b, b) for _, b in batches])
    )
    assert minibatch_cka(batches) == pytest.approx(xy / sqrt(xx * yy), abs=1e-11)
    assert minibatch_cka([(x, y)]) == pytest.approx(cka(x, y), abs=1e-12)  # one batch: exact


def test_defect_short_last_batch_weighted_equally():
    """Rows count the same wherever a batch ends: the mean of HSICs is weighted by rows."""
    x, y = related(0, 26, 3, 4)
    x[-4:] *= 3
    sizes = [11, 11, 4]
    batches = list(zip(x.split(sizes), y.split(sizes), strict=True))

    def ratio(weights: list[int]) -> float:
        hsics = torch.tensor([[exact for exact, _ in gram_forms(a, b)] for a, b in batches], dtype=torch.float64)
        xy, xx, yy = (torch.tensor(weights, dtype=torch.float64) @ hsics).tolist()
        return xy / sqrt(xx * yy)

    assert minibatch_cka(batches) == pytest.approx(ratio(sizes), abs=1e-11)
    assert abs(ratio(sizes) - ratio([1, 1, 1])) > 0.01


def test_minibatch_is_noisier_than_the_exact_value_and_not_clamped():
    """Independent data, n = 128, b = 16: both 0 on average, with a standard deviation √(n/b) ≈ 2.8 times as large."""
    exact, estimate = [], []
    for i in range(200):
        x, y = randn(i, 128, 8), randn(5000 + i, 128, 8)
        exact.append(cka(x, y))
        estimate.append(minibatch_cka(zip(x.split(16), y.split(16), strict=True)))
    exact, estimate = torch.tensor(exact), torch.tensor(estimate)
    assert float(estimate.mean()) == pytest.approx(0, abs=3.5 * float(estimate.std()) / sqrt(200))
    assert (estimate < 0).float().mean() > 0.3
    assert 2 < float(estimate.std() / exact.std()) < 4


def test_minibatch_of_sorted_data_leaves_out_what_is_between_classes():
    labels = torch.arange(160) // 20
    means = randn(0, 8, 6)
    x, y = means[labels] + 0.3 * randn(1, 160, 6), means[labels] + 0.3 * randn(2, 160, 6)
    shuffled = torch.randperm(160, generator=torch.Generator().manual_seed(0))
    assert cka(x, y) > 0.8
    assert minibatch_cka(zip(x.split(20), y.split(20), strict=True)) < 0.2
    assert minibatch_cka(zip(x[shuffled].split(20), y[shuffled].split(20), strict=True)) > 0.8


def test_minibatch_of_every_pair():
    x = {"a": randn(0, 60, 3), "b": randn(1, 60, 50) + 100, "flat": torch.ones(60, 2).double() / 3}
    y = {"c": x["a"].square(), "d": -2 * x["b"]}
    values = pairs_of(x, y, 15, MinibatchCKA).compute().values
    for i, u in enumerate((x["a"], x["b"])):
        for j, v in enumerate(y.values()):
            expected = minibatch_cka(zip(u.split(15), v.split(15), strict=True))
            assert float(values[i, j]) == pytest.approx(expected, abs=1e-11)
    assert float(values[1, 1]) == pytest.approx(1)
    assert values[2].isnan().all()


@pytest.mark.parametrize("scale", [1e-30, 1e30])
def test_minibatch_in_float32_at_any_scale_and_mean(scale):
    x, y = related(0, 64, 20, 30)
    expected = minibatch_cka(zip(x.split(16), y.split(16), strict=True))
    assert abs(expected) > 0.05
    a, b = (x * scale).float(), (y + 100 * y.std()).float()
    assert minibatch_cka(zip(a.split(16), b.split(16), strict=True)) == pytest.approx(expected, abs=1e-4)
    flat = torch.full((16, 3), 0.1 * scale)
    assert isnan(minibatch_cka([(flat, a[:16])]))


@pytest.mark.parametrize(
    ("batches", "message"),
    [
        ([], "at least one batch before compute, received none"),
        ([(randn(0, 8, 2), randn(1, 8, 2)), (randn(0, 3, 2), randn(1, 3, 2))], "at least 4 rows, received 3"),
        ([(randn(0, 8, 2), randn(1, 7, 2))], "^y: expected 8 rows"),
    ],
)
def test_minibatch_bad_input_is_named(batches, message):
    with pytest.raises(InputError, match=message):
        minibatch_cka(batches)


# --- from images


def images(n: int, seed: int = 0) -> torch.Tensor:
    return torch.randint(256, (n, 3, 8, 8), dtype=torch.uint8, generator=torch.Generator().manual_seed(seed))


@pytest.fixture(scope="module")
def encoders():
    return [build_encoder(EncoderSpec("resnet8", width=4, image_size=8), seed=seed) for seed in (0, 1)]


def test_layers_of_two_encoders(encoders):
    x = images(50)
    result = cka_layers(*encoders, x, layers_y=["layer2", "features"], batch_size=16)
    assert (result.layers_x, result.layers_y) == (encoders[0].layers, ("layer2", "features"))
    a, b = (capture(encoder, x) for encoder in encoders)
    for i, name_a in enumerate(result.layers_x):
        for j, name_b in enumerate(result.layers_y):
            assert float(result.values[i, j]) == pytest.approx(cka(a[name_a], b[name_b]), abs=1e-5)
            # capture() saw the images in one batch: float32 convolutions differ in the last digits


def test_layers_biased_and_minibatch_by_request(encoders):
    x = images(48)
    a, b = (capture(encoder, x, layers=["features"], batch_size=16)["features"] for encoder in encoders)
    only = {"layers_x": ["features"], "layers_y": ["features"], "batch_size": 16}
    biased = cka_layers(*encoders, x, debiased=False, **only)
    assert float(biased.values) == pytest.approx(cka(a, b, debiased=False), abs=1e-9)
    estimate = cka_layers(*encoders, x, minibatch=True, **only)
    assert float(estimate.values) == pytest.approx(minibatch_cka(zip(a.split(16), b.split(16), strict=True)), abs=1e-6)


def test_one_encoder_with_and_without_a_trigger(encoders):
    x = images(40)
    result = cka_layers(encoders[0], encoders[0], x, transform_y=lambda batch: batch.flip(3) * 0.5)
    clean, triggered = capture(encoders[0], x), capture(encoders[0], x, transform=lambda batch: batch.flip(3) * 0.5)
    expected = [cka(clean[name], triggered[name]) for name in clean]
    assert result.values.diagonal().tolist() == pytest.approx(expected, abs=1e-9)
    same = cka_layers(encoders[0], encoders[0], x).values
    torch.testing.assert_close(same.diagonal(), torch.ones_like(same.diagonal()))
    torch.testing.assert_close(same, same.T)


@pytest.mark.parametrize("fails", [False, True])
def test_no_trace_on_encoders_that_share_modules(fails):
    module = nn.Sequential(nn.Conv2d(3, 4, 3), nn.BatchNorm2d(4), nn.ReLU(), nn.Flatten(), nn.Linear(144, 5))
    x, y = wrap(module, layers={"conv": "0"}), wrap(module, layers={"relu": "2"})
    module.train()
    module[1].eval()
    seen: list[bool] = []

    def spy(batch: torch.Tensor) -> torch.Tensor:
        seen.append(module[0].training)
        if fails and len(seen) == 2:
            raise KeyError("trigger")
        return batch

    if fails:
        with pytest.raises(KeyError, match="trigger"):
            cka_layers(x, y, images(20), batch_size=8, transform_y=spy)
    else:
        cka_layers(x, y, images(20), batch_size=8, transform_y=spy)
        assert len(seen) == 3
    assert not any(seen)
    assert [m.training for m in module] == [True, False, True, True, True]
    assert sum(len(m._forward_hooks) for m in (*module.modules(), *x.modules(), *y.modules())) == 0


def test_layers_bad_input_is_named(encoders):
    with pytest.raises(InputError, match=r"expected some of stem.*, received layer9"):
        cka_layers(*encoders, images(8), layers_y=["layer9"])
    with pytest.raises(InputError, match="at least 4 rows before compute, received 3"):
        cka_layers(*encoders, images(3))
    with pytest.raises(InputError, match="at least one image, received none"):
        cka_layers(*encoders, images(0))


def test_memory_from_images_does_not_grow(encoders):
    largest = []
    for n in (64, 512):
        x = images(n)
        with Largest(x) as seen:
            cka_layers(*encoders, x, batch_size=32, layers_x=["stem", "layer1"], layers_y=["layer1"])
        largest.append(seen.bytes)
    assert largest[0] == largest[1]


def test_the_centre_moves_when_n_has_grown_fourfold():
    """A handful of moves, each of which reads all the sums, and not one a batch."""
    moves: list[int] = []

    class Counting(CKAPairs):
        def _recentre(self) -> None:
            moves.append(self.n)
            super()._recentre()

    pairs = Counting()
    for i in range(100):
        pairs.update({"x": randn(i, 10, 3)}, {"y": randn(i + 500, 10, 3)})
    assert moves == [10, 40, 160, 640]
