"""Losses against double loops over their papers' formulas, in float64, and against values known in closed form."""

import math
from itertools import product

import numpy as np
import pytest
import torch
from intertwine.training.objectives import Loss, SimCLR, SupCon, Supervised, nt_xent, supcon_loss
from torch import nn

from tests.factories import case, randn32

TEMPERATURES = [0.07, 0.5, 1.0]


def cosine(a, b) -> float:
    return sum(x * y for x, y in zip(a, b, strict=True)) / (
        math.sqrt(sum(x * x for x in a)) * math.sqrt(sum(y * y for y in b))
    )


def slow_nt_xent(first, second, temperature: float) -> list[float]:
    """Chen et al. 2020, eq. 1: ℓ(i,j) = −log exp(s_ij/τ) / Σ_{k≠i} exp(s_ik/τ); the mean of ℓ(i,j) and ℓ(j,i)."""
    z, n = [*first.double().tolist(), *second.double().tolist()], len(first)
    losses = []
    for i in range(2 * n):
        partner = i + n if i < n else i - n
        total = sum(math.exp(cosine(z[i], z[k]) / temperature) for k in range(2 * n) if k != i)
        losses.append(-math.log(math.exp(cosine(z[i], z[partner]) / temperature) / total))
    return [(losses[i] + losses[i + n]) / 2 for i in range(n)]


def slow_supcon(first, second, labels, temperature: float) -> list[float]:
    """Khosla et al. 2020, eq. 2: −1/|P(i)| Σ_{p∈P(i)} log exp(z_i·z_p/τ) / Σ_{a≠i} exp(z_i·z_a/τ)."""
    z, n = [*first.double().tolist(), *second.double().tolist()], len(first)
    y = [*labels.tolist(), *labels.tolist()]
    losses = []
    for i in range(2 * n):
        total = sum(math.exp(cosine(z[i], z[a]) / temperature) for a in range(2 * n) if a != i)
        positives = [p for p in range(2 * n) if p != i and y[p] == y[i]]
        terms = [math.log(math.exp(cosine(z[i], z[p]) / temperature) / total) for p in positives]
        losses.append(-sum(terms) / len(positives))
    return [(losses[i] + losses[i + n]) / 2 for i in range(n)]


def slow_mlp(network: nn.Sequential, x: torch.Tensor) -> np.ndarray:
    """Linear, BatchNorm with the batch's biased variance, ReLU, Linear, unit by unit."""
    first, norm, _, last = network
    w, b, w2, b2 = (p.detach().double().numpy() for p in (first.weight, first.bias, last.weight, last.bias))
    h = x.detach().double().numpy() @ w.T + b
    for unit in range(h.shape[1]):
        column = h[:, unit]
        variance = ((column - column.mean()) ** 2).sum() / len(column)
        column = (column - column.mean()) / math.sqrt(variance + norm.eps)
        h[:, unit] = np.maximum(0, norm.weight[unit].item() * column + norm.bias[unit].item())
    return h @ w2.T + b2


# --- NT-Xent


def test_nt_xent_is_equation_1():
    for temperature, (n, d) in product(TEMPERATURES, ((2, 3), (5, 4), (9, 2))):
        with case(temperature, n, d):
            first, second = randn32(0, n, d), randn32(1, n, d)
            value = nt_xent(first, second, temperature)
            assert (value.shape, value.dtype) == ((n,), torch.float32)
            assert value.tolist() == pytest.approx(slow_nt_xent(first, second, temperature), abs=1e-4)


def test_identical_projections_cannot_be_told_apart():
    """Every candidate is as likely as any other: log(2n − 1)."""
    for n, temperature in product((1, 2, 7, 64), TEMPERATURES):
        with case(n, temperature):
            same = randn32(0, 1, 6).expand(n, 6)
            expected = [math.log(2 * n - 1)] * n
            assert nt_xent(same, same, temperature).tolist() == pytest.approx(expected, abs=1e-5)
            for labels in (torch.zeros(n, dtype=torch.int64), torch.arange(n)):
                assert supcon_loss(same, same, labels, temperature).tolist() == pytest.approx(expected, abs=1e-5)


def test_orthogonal_images_with_equal_views():
    """One candidate at cosine 1, 2(n − 1) at cosine 0: log(1 + 2(n − 1)·exp(−1/τ))."""
    for temperature in TEMPERATURES:
        with case(temperature):
            z = 3 * torch.eye(6)
            expected = math.log(1 + 10 * math.exp(-1 / temperature))
            assert nt_xent(z, 7 * z, temperature).tolist() == pytest.approx([expected] * 6, abs=1e-5)


def test_opposite_views_are_the_worst_case():
    """z' = −z of one direction: partner at cosine −1, the other views at ±1."""
    n, t = 4, 0.5
    z = randn32(0, 1, 5).expand(n, 5)
    expected = 1 / t + math.log((n - 1) * math.exp(1 / t) + n * math.exp(-1 / t))
    assert nt_xent(z, -z, t).tolist() == pytest.approx([expected] * n, abs=1e-5)


def test_nt_xent_is_symmetric_scale_free_and_follows_the_order_of_images():
    first, second = randn32(0, 6, 4), randn32(1, 6, 4)
    value = nt_xent(first, second, 0.2)
    torch.testing.assert_close(nt_xent(second, first, 0.2), value)
    torch.testing.assert_close(nt_xent(first * 100, second * torch.rand(6, 1), 0.2), value, atol=1e-5, rtol=1e-5)
    order = torch.tensor([3, 1, 5, 0, 2, 4])
    torch.testing.assert_close(nt_xent(first[order], second[order], 0.2), value[order])
    assert (value >= 0).all()


@pytest.mark.parametrize("scale", [1e-30, 1e15])
def test_extreme_projections_stay_finite(scale):
    z = randn32(0, 4, 3).requires_grad_()
    loss = nt_xent(z * scale, randn32(1, 4, 3) * scale, 0.07).sum()
    loss.backward()
    assert torch.isfinite(loss)
    assert torch.isfinite(z.grad).all()


# --- SupCon


def test_supcon_is_equation_2():
    groups = [0, 1, 0, 1, 2], [3, 3, 3, 3, 3], [0, 1, 2, 3, 4], [7, 7, 0, 0, 0]
    for temperature, labels in product(TEMPERATURES, groups):
        with case(temperature, labels):
            first, second, labels = randn32(0, 5, 4), randn32(1, 5, 4), torch.tensor(labels)
            value = supcon_loss(first, second, labels, temperature)
            assert (value.shape, value.dtype) == ((5,), torch.float32)
            assert value.tolist() == pytest.approx(slow_supcon(first, second, labels, temperature), abs=1e-4)


def test_supcon_with_all_labels_different_is_nt_xent():
    for temperature in TEMPERATURES:
        with case(temperature):
            first, second = randn32(0, 8, 4), randn32(1, 8, 4)
            value = supcon_loss(first, second, torch.randperm(8), temperature)
            assert value.tolist() == pytest.approx(slow_nt_xent(first, second, temperature), abs=1e-4)


def test_collapsed_orthogonal_classes_reach_the_minimum():
    """Two classes of n/2 images, each one point, at right angles: log(n − 1 + n·exp(−1/τ)) for 2n views."""
    for temperature in TEMPERATURES:
        with case(temperature):
            n = 6
            z = torch.eye(2).repeat_interleave(n // 2, 0)
            labels = torch.tensor([0] * 3 + [1] * 3)
            expected = math.log(n - 1 + n * math.exp(-1 / temperature))
            assert supcon_loss(z, z, labels, temperature).tolist() == pytest.approx([expected] * n, abs=1e-5)


def test_supcon_reads_which_labels_are_equal_and_nothing_else():
    first, second = randn32(0, 6, 4), randn32(1, 6, 4)
    value = supcon_loss(first, second, torch.tensor([0, 1, 2, 0, 1, 2]), 0.3)
    assert torch.equal(supcon_loss(first, second, torch.tensor([9, 4, 7, 9, 4, 7]), 0.3), value)
    assert not torch.allclose(supcon_loss(first, second, torch.tensor([0, 1, 2, 0, 1, 1]), 0.3), value)


# --- gradients


@pytest.mark.parametrize("kind", ["nt_xent", "supcon"])
def test_gradients_are_those_of_the_formula(kind):
    """Against central differences of the slow loops."""
    first, second, labels = randn32(0, 4, 3), randn32(1, 4, 3), torch.tensor([0, 1, 0, 2])
    x = first.clone().requires_grad_()
    fast = nt_xent(x, second, 0.5) if kind == "nt_xent" else supcon_loss(x, second, labels, 0.5)
    fast.mean().backward()

    def slow(z: torch.Tensor) -> float:
        values = slow_nt_xent(z, second, 0.5) if kind == "nt_xent" else slow_supcon(z, second, labels, 0.5)
        return sum(values) / 4

    for i in range(4):
        for j in range(3):
            step = torch.zeros(4, 3, dtype=torch.float64)
            step[i, j] = 1e-5
            numeric = (slow(first.double() + step) - slow(first.double() - step)) / 2e-5
            assert float(x.grad[i, j]) == pytest.approx(numeric, abs=1e-4)


# --- modules


def objectives() -> dict[str, nn.Module]:
    torch.manual_seed(0)
    return {"supervised": Supervised(6, 5, 4), "supcon": SupCon(6, 5, 3, 0.5), "simclr": SimCLR(6, 5, 3, 0.5)}


LABELS = torch.tensor([0, 1, 2, 3, 0, 1, 2])


@pytest.fixture(params=["supervised", "supcon", "simclr"])
def objective(request):
    return objectives()[request.param]


def features(objective: nn.Module) -> torch.Tensor:
    """Of one view for cross-entropy, of two for the others: ``(views, 7, 6)``."""
    return randn32(0, 1 if isinstance(objective, Supervised) else 2, 7, 6)


def test_supervised_is_cross_entropy_through_the_head():
    objective, x = objectives()["supervised"], randn32(0, 7, 6)
    logits = slow_mlp(objective.head, x)
    expected = [math.log(sum(math.exp(v) for v in row)) - row[int(y)] for row, y in zip(logits, LABELS, strict=True)]
    loss = objective(x.unsqueeze(0), LABELS)
    assert loss.per_sample.tolist() == pytest.approx(expected, abs=1e-5)
    assert loss.total.item() == pytest.approx(sum(expected) / 7, abs=1e-5)
    torch.testing.assert_close(loss.total, nn.functional.cross_entropy(objective.head(x), LABELS))


@pytest.mark.parametrize("name", ["supcon", "simclr"])
def test_projectors_see_both_views_in_one_batch(name):
    """The BatchNorm's mean and variance are those of the 2n views together."""
    objective, views = objectives()[name], torch.stack([randn32(0, 7, 6), 3 + 2 * randn32(1, 7, 6)])
    z = torch.from_numpy(slow_mlp(objective.projector, torch.cat([views[0], views[1]])))
    first, second = z[:7], z[7:]
    expected = slow_nt_xent(first, second, 0.5) if name == "simclr" else slow_supcon(first, second, LABELS, 0.5)
    loss = objective(views, LABELS)
    assert loss.per_sample.tolist() == pytest.approx(expected, abs=1e-4)
    assert loss.total.item() == pytest.approx(sum(expected) / 7, abs=1e-4)


def test_loss_has_a_total_and_one_value_an_image(objective):
    loss = objective(features(objective), LABELS)
    assert isinstance(loss, Loss)
    assert loss._fields == ("total", "per_sample")
    assert loss.total.shape == ()
    assert loss.total.requires_grad
    assert (loss.per_sample.shape, loss.per_sample.dtype) == ((7,), torch.float32)
    assert not loss.per_sample.requires_grad, "kept over an epoch, it would keep every graph"
    torch.testing.assert_close(loss.per_sample.mean(), loss.total.detach())


def test_gradient_reaches_features_and_every_weight(objective):
    views = features(objective).requires_grad_()
    objective(views, LABELS).total.backward()
    for name, tensor in {"views": views, **dict(objective.named_parameters())}.items():
        assert tensor.grad is not None, name
        assert torch.isfinite(tensor.grad).all(), name
        if name != "projector.0.bias" and name != "head.0.bias":  # the BatchNorm takes a constant shift away
            assert tensor.grad.abs().max() > 0, name


def test_simclr_reads_no_labels():
    objective, views = objectives()["simclr"], randn32(0, 2, 7, 6)
    assert torch.equal(objective(views, LABELS).per_sample, objective(views, LABELS.flip(0)).per_sample)


def test_every_arm_has_the_same_depth_between_tap_and_loss():
    heads = {"supervised": objectives()["supervised"].head}
    heads |= {name: objectives()[name].projector for name in ("supcon", "simclr")}
    for name, head in heads.items():
        assert [type(m) for m in head] == [nn.Linear, nn.BatchNorm1d, nn.ReLU, nn.Linear], name
        assert (head[0].in_features, head[0].out_features) == (6, 5), name
    assert {name: heads[name][3].out_features for name in heads} == {"supervised": 4, "supcon": 3, "simclr": 3}


def test_batch_norm_learns_running_statistics(objective):
    before = {k: v.clone() for k, v in objective.state_dict().items()}
    objective(features(objective), LABELS)
    changed = {k for k, v in objective.state_dict().items() if not torch.equal(v, before[k])}
    assert {k.rsplit(".", 1)[1] for k in changed} == {"running_mean", "running_var", "num_batches_tracked"}


# --- precision


@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float16])
def test_low_precision_projections_give_a_float32_loss(dtype):
    first, second = randn32(0, 6, 4).to(dtype), randn32(1, 6, 4).to(dtype)
    for value, expected in (
        (nt_xent(first, second, 0.5), slow_nt_xent(first, second, 0.5)),
        (supcon_loss(first, second, LABELS[:6], 0.5), slow_supcon(first, second, LABELS[:6], 0.5)),
    ):
        assert value.dtype == torch.float32
        assert value.tolist() == pytest.approx(expected, abs=1e-4), "rounded inputs, exact from there on"


@pytest.mark.parametrize("kind", ["nt_xent", "supcon"])
def test_loss_logits_are_float32_under_autocast(kind):
    """design.md, Speed: loss logits in fp32. Autocast would turn the matrix product of float32 rows into bf16."""
    first, second = randn32(0, 6, 4), randn32(1, 6, 4)
    with torch.autocast("cpu", torch.bfloat16):
        value = nt_xent(first, second, 0.07) if kind == "nt_xent" else supcon_loss(first, second, LABELS[:6], 0.07)
    expected = slow_nt_xent(first, second, 0.07) if kind == "nt_xent" else slow_supcon(first, second, LABELS[:6], 0.07)
    assert value.dtype == torch.float32
    assert value.tolist() == pytest.approx(expected, abs=1e-3)


def test_modules_under_autocast_give_a_float32_loss_near_the_exact_one(objective):
    views = features(objective)
    exact = objective(views, LABELS)
    with torch.autocast("cpu", torch.bfloat16):
        loss = objective(views.bfloat16(), LABELS)
    assert loss.total.dtype == torch.float32
    assert loss.per_sample.dtype == torch.float32
    assert loss.total.item() == pytest.approx(exact.total.item(), rel=0.05)
    loss.total.backward()
    assert all(torch.isfinite(p.grad).all() for p in objective.parameters())
