"""CKA in one pass against the Gram form."""

from itertools import product
from math import isnan, sqrt

import pytest
import torch
from intertwine.representations.errors import InputError
from intertwine.representations.similarity.cka import cka
from intertwine.representations.similarity.minibatch import MinibatchCKA
from intertwine.representations.similarity.streaming import CKA, CKAPairs

from tests.factories import case, randn
from tests.representations.hsic import Largest, gram_forms, pairs_of, related, slow_hsic


def terms_of(pairs: CKAPairs) -> list[float]:
    xy, own = pairs.hsic()
    return [float(xy), *map(float, own)]


def stream(x: torch.Tensor, y: torch.Tensor, sizes: list[int] | int = 64, **options: bool) -> CKA:
    result = CKA(**options)
    for a, b in zip(x.split(sizes), y.split(sizes), strict=True):
        result.update(a, b)
    return result


# --- exact


GRID = [(n, d, ratio) for n in (50, 300) for d in (16, 100, 512) for ratio in (0.0, 50.0, 1e4)]


def test_equals_the_gram_form_to_1e10_of_the_biased_scale():
    for dtype, (n, d, ratio) in product((torch.float64, torch.float32), (*GRID, (2000, 64, 1e4), (5000, 16, 1e4))):
        with case(dtype, n, d, ratio):
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


def test_the_batches_do_not_matter():
    for debiased, sizes in product((True, False), ([40], [1] * 40, [1, 39], [39, 1], [3, 20, 1, 16], [13, 13, 14])):
        with case(debiased, sizes):
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


def test_defect_absolute_epsilon_makes_cka_depend_on_scale():
    for scale, debiased in product((1e-30, 1e-8, 1e8, 1e30), (True, False)):
        with case(scale, debiased):
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


def test_constant_features_are_nan():
    for value, debiased, dtype in product((0.0, 1.0, 0.1, 1e8), (True, False), (torch.float32, torch.float64)):
        with case(value, debiased, dtype):
            constant, y = torch.full((30, 3), value, dtype=dtype), randn(0, 30, 4)
            for a, b in ((constant, y), (y, constant), (constant, constant)):
                assert isnan(stream(a, b, 7, debiased=debiased).compute())
                assert isnan(stream(a, b, 1, debiased=debiased).compute())


def test_one_image_against_a_point_has_no_debiased_similarity():
    for n in (8, 40, 1000):
        with case(n):
            x, y = torch.zeros(n, 5, dtype=torch.float64), randn(1, n, 4)
            x[0] = randn(0, 5)
            assert isnan(stream(x, x, 7).compute())
            assert isnan(stream(x, y, 7).compute())
            assert stream(x, x, 7, debiased=False).compute() == pytest.approx(1)


def test_fewer_than_four_rows_are_an_error_at_compute():
    for n, kind in product((0, 1, 3), (CKA, CKAPairs)):
        with case(n, kind):
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


def test_a_bad_batch_is_named_and_leaves_the_sums_alone():
    for (x, y, message), kind in product(
        (
            ({"a": randn(0, 5, 3)}, {"b": randn(0, 4, 2)}, r"y\['b'\]: expected 5 rows .*, received 4"),
            ({"a": randn(0, 5, 2)}, {"b": randn(0, 5, 2)}, r"x\['a'\]: expected 3 columns, received 2"),
            ({"a": randn(0, 5, 3)}, {"b": randn(0, 5, 9)}, r"y\['b'\]: expected 2 columns, received 9"),
            ({"c": randn(0, 5, 3)}, {"b": randn(0, 5, 2)}, "x: expected the layers of the first batch, a; received c"),
            ({"a": randn(0, 5, 3)}, {}, "y: expected at least one layer, received none"),
            ({"a": randn(0, 5)}, {"b": randn(0, 5, 2)}, r"x\['a'\]: expected \(b, d\), received \(5,\)"),
            ({"a": randn(0, 5, 3, 2, 2)}, {"b": randn(0, 5, 2)}, r"received \(5, 3, 2, 2\)"),
            ({"a": BAD}, {"b": randn(0, 6, 2)}, r"x\['a'\]: expected finite activations, received NaN or infinity"),
            ({"a": randn(0, 6, 3)}, {"b": BAD[:, :2].nan_to_num(torch.inf)}, r"y\['b'\]: expected finite activations"),
        ),
        (CKAPairs, MinibatchCKA),
    ):
        with case(message):
            a, b = related(0, 20, 3, 2)
            result = kind().update({"a": a}, {"b": b})
            before = result.compute().values
            with pytest.raises(InputError, match=message):
                result.update(x, y)
            assert torch.equal(result.compute().values, before)
            assert result.n == 20


def test_a_bad_first_batch_does_not_count_as_first():
    for kind in (CKAPairs, MinibatchCKA):
        with case(kind):
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
