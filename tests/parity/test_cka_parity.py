"""CKA against Song et al. written out, ckatorch, and pytorch-cka (imported as ``cka``), where they compute the same.

Where they do not, a test shows the defect of theirs that a test of ours guards against.
"""

from math import isnan, sqrt

import pytest
import torch
from intertwine.representations.similarity.cka import cka, gram
from intertwine.representations.similarity.minibatch import MinibatchCKA, minibatch_cka
from intertwine.representations.similarity.streaming import CKA, CKAPairs

from tests.factories import randn

pytestmark = pytest.mark.parity


def related(seed: int, n: int, d: int, e: int) -> tuple[torch.Tensor, torch.Tensor]:
    z = randn(seed, n, 4)
    return z @ randn(seed + 1, 4, d) + randn(seed + 2, n, d), z @ randn(seed + 3, 4, e) + randn(seed + 4, n, e)


def song(x: torch.Tensor, y: torch.Tensor) -> float:
    """HSIC₁ of the linear kernel, Song et al., JMLR 13 (2012), eq. 5, one sum at a time."""
    n = len(x)
    k, m = (
        [
            [0.0 if i == j else sum(a * b for a, b in zip(p, q, strict=True)) for j, q in enumerate(z)]
            for i, p in enumerate(z)
        ]
        for z in (x.tolist(), y.tolist())
    )
    trace = total_k = total_m = path = 0.0
    for i in range(n):
        for j in range(n):
            trace += k[i][j] * m[j][i]
            total_k += k[i][j]
            total_m += m[i][j]
            for q in range(n):
                path += k[i][j] * m[j][q]
    return (trace + total_k * total_m / ((n - 1) * (n - 2)) - 2 * path / (n - 2)) / (n * (n - 3))


@pytest.mark.parametrize(("n", "d", "e"), [(5, 3, 2), (20, 4, 30), (30, 6, 6)])
def test_debiased_cka_is_song_et_al_written_out(n, d, e):
    x, y = related(n, n, d, e)
    expected = song(x, y) / sqrt(song(x, x) * song(y, y))
    assert cka(x, y) == pytest.approx(expected, abs=1e-11)
    assert CKA().update(x[:3], y[:3]).update(x[3:], y[3:]).compute() == pytest.approx(expected, abs=1e-11)


# Its "hsic" is the biased one, whatever `unbiased` says.
@pytest.mark.parametrize(("method", "debiased"), [("fro_norm", True), ("fro_norm", False), ("hsic", False)])
def test_ckatorch_linear(method, debiased):
    core = pytest.importorskip("ckatorch.core")
    x, y = related(0, 50, 7, 60)
    expected = float(core.cka_base(x, y, unbiased=debiased, method=method))
    assert cka(x, y, debiased=debiased) == pytest.approx(expected, abs=1e-12)
    assert CKA(debiased=debiased).update(x, y).compute() == pytest.approx(expected, abs=1e-12)


@pytest.mark.parametrize("debiased", [True, False])
def test_ckatorch_rbf_at_the_same_bandwidth(debiased):
    """It takes the median over all pairs, an image with itself included; the threshold makes up for it."""
    core = pytest.importorskip("ckatorch.core")
    x, y = related(1, 40, 5, 6)
    y = y * (x.norm() / y.norm())
    values = []
    for z in (x, y):
        squared = torch.cdist(z, z).square()
        ours = squared[~torch.eye(40, dtype=torch.bool)].median()
        kernel = core.rbf_kernel(z, threshold=float((ours / squared.median()).sqrt()))
        torch.testing.assert_close(gram(z, "rbf"), kernel)
        values.append(core.center_gram_matrix(kernel, unbiased=debiased))
    expected = float((values[0] * values[1]).sum() / (values[0].norm() * values[1].norm()))
    assert cka(x, y, kernel="rbf", debiased=debiased) == pytest.approx(expected, abs=1e-9)


def test_ckatorch_minibatch():
    core = pytest.importorskip("ckatorch.core")
    x, y = related(2, 96, 9, 14)
    expected = float(core.cka_batch(x.view(6, 16, 9), y.view(6, 16, 14)))
    assert minibatch_cka(zip(x.split(16), y.split(16), strict=True)) == pytest.approx(expected, abs=1e-12)


def test_pytorch_cka_of_all_pairs():
    theirs = pytest.importorskip("cka")
    x, y = related(3, 60, 10, 12)
    xs, ys = [x, x.square(), x[:, :3]], [y, 2 * x + y[:, :10]]
    expected = theirs.cka_from_features(xs, ys)
    pairs = CKAPairs()
    for rows in torch.arange(60).split(13):
        pairs.update({str(i): z[rows] for i, z in enumerate(xs)}, {str(i): z[rows] for i, z in enumerate(ys)})
    ours = pairs.compute().values
    assert (ours > 0.01).sum() >= 5
    torch.testing.assert_close(ours.clamp(0, 1), expected, atol=1e-11, rtol=0)


class Precomputed(torch.nn.Module):
    """A module whose layers "compute" given activations: its input is the indices of the images."""

    def __init__(self, layers: list[torch.Tensor]) -> None:
        super().__init__()
        self.given = layers
        self.points = torch.nn.ModuleList(torch.nn.Identity() for _ in layers)

    def forward(self, index: torch.Tensor) -> torch.Tensor:
        for point, x in zip(self.points, self.given, strict=True):
            point(x[index])
        return index


def test_pytorch_cka_of_modules_in_equal_batches():
    theirs = pytest.importorskip("cka")
    xs, ys = related(4, 64, 10, 12), related(4, 64, 8, 9)
    xs, ys = [z.float() for z in xs], [z.float() for z in ys]
    names = ["points.0", "points.1"]
    batches = [list(torch.arange(64).split(16))]
    modules = Precomputed(xs), Precomputed(ys)
    (expected,) = theirs.compute_cka(*modules, batches, layers=names, device="cpu", progress=False)
    estimate = MinibatchCKA()
    for rows in torch.arange(64).split(16):
        estimate.update(*({n: z[rows] for n, z in zip(names, side, strict=True)} for side in (xs, ys)))
    assert ((expected > 0) & (expected < 1)).all()
    torch.testing.assert_close(estimate.compute().values.float(), expected, atol=1e-5, rtol=0)


# --- where they differ, and why ours do not


def test_defect_pytorch_cka_clamps():
    theirs = pytest.importorskip("cka")
    pairs = [(randn(i, 20, 4), randn(900 + i, 20, 4)) for i in range(200)]
    ours = torch.tensor([cka(x, y) for x, y in pairs])
    clamped = torch.stack([theirs.cka_from_features(x, y).squeeze() for x, y in pairs])
    torch.testing.assert_close(clamped.float(), ours.clamp(min=0), atol=1e-6, rtol=0)
    error = float(ours.std()) / sqrt(200)
    assert float(ours.mean()) == pytest.approx(0, abs=3 * error)
    assert float(clamped.mean()) > 3 * error  # "some similarity" in independent data


def test_defect_pytorch_cka_puts_a_number_on_constant_features():
    """Its 1e-6 in the place of a zero denominator turns 0/0 into 0: "no similarity", where nothing can be said."""
    theirs = pytest.importorskip("cka")
    x, constant = randn(0, 20, 3), torch.zeros(20, 3, dtype=torch.float64)
    assert float(theirs.cka_from_features(x, constant)) == 0
    assert isnan(cka(x, constant))


def test_defect_absolute_epsilon_makes_pytorch_cka_depend_on_scale():
    """Small float32 activations: the product of self-terms is 0 in float32, and 1e-6 stands in for it."""
    theirs = pytest.importorskip("cka")
    x = randn(0, 20, 3).float()
    assert float(theirs.cka_from_features(x, x)) == pytest.approx(1, abs=1e-5)
    assert float(theirs.cka_from_features(x * 1e-6, x * 1e-6)) < 0.01
    for scale in (1e-6, 1e-30):
        assert cka(x * scale, x * scale) == pytest.approx(1, abs=1e-6)
        assert minibatch_cka([(x * scale, x * scale)]) == pytest.approx(1, abs=1e-5)


def test_defect_pytorch_cka_averages_a_short_last_batch_as_a_full_one():
    theirs = pytest.importorskip("cka")
    x, y = randn(5, 20, 3).float(), randn(6, 20, 3).float()
    y[16:] = x[16:]  # only the four of the last batch agree
    batches = [list(torch.arange(20).split(16))]
    modules = Precomputed([x]), Precomputed([y])
    (value,) = theirs.compute_cka(*modules, batches, layers=["points.0"], device="cpu", progress=False)
    assert float(value) > minibatch_cka(zip(x.split(16), y.split(16), strict=True)) + 0.1


def test_defect_pytorch_cka_is_not_centred_in_float32():
    """At mean/sd = 50 its float32 sums no longer hold the value; ours hold five digits in the same precision."""
    theirs = pytest.importorskip("cka")
    x, y = related(6, 128, 64, 64)
    x, y = ((z / z.std(0) + 50).float() for z in (x, y))
    exact = cka(x, y)
    assert 0.1 < exact < 0.95
    assert not abs(float(theirs.cka_from_features(x, y)) - exact) < 0.02
    assert minibatch_cka([(x, y)]) == pytest.approx(exact, abs=1e-5)
