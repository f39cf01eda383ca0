"""BYOL, SimSiam, MoCo and Barlow Twins: losses against loops over their papers' formulas, and what gets a gradient."""

import math

import pytest
import torch
from intertwine.checkpoints import load_checkpoint
from intertwine.representations import EncoderSpec, build_encoder
from intertwine.training.attacks import BadEncoder
from intertwine.training.objectives import (
    BYOL,
    BarlowTwins,
    Follows,
    HasLargeState,
    HasProjector,
    HasSlowCopy,
    MoCo,
    SimSiam,
    Supervised,
    barlow_loss,
    info_nce,
    nt_xent,
    regression_loss,
)
from torch import nn
from torch.nn.functional import normalize

from tests.factories import fit_on_cpu, randn32, tiny_recipe


def encoder():
    return build_encoder(EncoderSpec("resnet8", width=2, image_size=16)).train()


# --- the losses


@pytest.mark.parametrize("scale", [1e-20, 1.0, 1e15])
def test_regression_loss_is_the_squared_distance_of_unit_vectors(scale):
    p, z = randn32(0, 7, 5), randn32(1, 7, 5)
    expected = [
        sum((a / math.hypot(*x) - b / math.hypot(*y)) ** 2 for a, b in zip(x, y, strict=True))
        for x, y in zip(p.double().tolist(), z.double().tolist(), strict=True)
    ]
    # torch's normalize cuts off lengths below 1e-12: such projections do not occur.
    got = regression_loss(p * max(scale, 1e-6), z * scale if scale > 1 else z)
    assert got.dtype == torch.float32
    assert got.tolist() == pytest.approx(expected, abs=1e-5)
    assert regression_loss(p, p).tolist() == pytest.approx([0] * 7, abs=1e-6)
    assert regression_loss(p, -p).tolist() == pytest.approx([4] * 7, abs=1e-6)


def test_info_nce_is_equation_1():
    q, k, queue = randn32(0, 4, 3), randn32(1, 4, 3), normalize(randn32(2, 6, 3), dim=1)
    expected = []
    for i in range(4):
        cos = torch.cosine_similarity
        positive = float(cos(q[i].double(), k[i].double(), dim=0)) / 0.2
        others = [float(cos(q[i].double(), key.double(), dim=0)) / 0.2 for key in queue]
        expected.append(-math.log(math.exp(positive) / (math.exp(positive) + sum(map(math.exp, others)))))
    assert info_nce(q, k, queue, 0.2).tolist() == pytest.approx(expected, abs=1e-5)


def test_info_nce_with_the_other_views_as_queue_is_nt_xent():
    first, second = randn32(0, 5, 4), randn32(1, 5, 4)
    z = normalize(torch.cat([first, second]), dim=1)
    both = []
    for q, k in ((first, second), (second, first)):
        for i in range(5):
            rest = torch.tensor([j for j in range(10) if j not in (i, i + 5)])
            both.append(float(info_nce(q[i : i + 1], k[i : i + 1], z[rest], 0.5)))
    expected = nt_xent(first, second, 0.5)
    assert [(both[i] + both[i + 5]) / 2 for i in range(5)] == pytest.approx(expected.tolist(), abs=1e-5)


def test_barlow_loss_is_equation_1():
    n, d = 9, 4
    a, b = randn32(0, n, d).double(), (randn32(0, n, d) + randn32(1, n, d)).double()
    standard = []
    for x in (a, b):
        columns = []
        for j in range(d):
            mean = sum(float(v) for v in x[:, j]) / n
            sd = math.sqrt(sum((float(v) - mean) ** 2 for v in x[:, j]) / n + 1e-5)
            columns.append([(float(v) - mean) / sd for v in x[:, j]])
        standard.append(columns)
    expected = 0.0
    for i in range(d):
        for j in range(d):
            c = sum(u * v for u, v in zip(standard[0][i], standard[1][j], strict=True)) / n
            expected += (1 - c) ** 2 if i == j else 0.3 * c**2
    assert float(barlow_loss(a.float(), b.float(), 0.3)) == pytest.approx(expected, rel=1e-4)


def test_barlow_loss_of_equal_uncorrelated_views_is_zero_and_of_constant_ones_d():
    corners = torch.tensor([[1.0, 1.0], [1.0, -1.0], [-1.0, 1.0], [-1.0, -1.0]])
    assert float(barlow_loss(corners, 7 * corners + 3, 1.0)) == pytest.approx(0, abs=1e-8)
    assert float(barlow_loss(torch.ones(4, 2), torch.ones(4, 2), 1.0)) == pytest.approx(2)


# --- the modules


def made() -> dict[str, nn.Module]:
    torch.manual_seed(0)
    e = encoder()
    return {
        "byol": BYOL(e, e.dim, 8, 6, 0.9),
        "simsiam": SimSiam(e.dim, 8, 6),
        "moco": MoCo(e, e.dim, 8, 6, 0.2, 0.9, 16),
        "barlow": BarlowTwins(e.dim, 8, 6, 5e-3),
    }


@pytest.mark.parametrize("name", ["byol", "simsiam", "moco", "barlow"])
def test_the_encoder_gets_a_gradient_and_the_slow_copy_none(name):
    objective, e = made()[name].train(), encoder()
    images = torch.rand(12, 3, 16, 16, generator=torch.Generator().manual_seed(0))
    slow = getattr(objective, "slow", None)
    slow_views = [slow.encoder(images).view(2, 6, -1)] if slow else []
    loss = objective(e(images).view(2, 6, -1), torch.zeros(6).long(), *slow_views)
    loss.total.backward()
    assert all(p.grad is not None and torch.isfinite(p.grad).all() for p in e.parameters())
    learned = {n for n, p in objective.named_parameters() if p.requires_grad}
    assert not any(n.startswith("slow") for n in learned)
    assert all(p.grad is None for n, p in objective.named_parameters() if n not in learned)
    if name == "barlow":
        assert loss.per_sample is None
    else:
        assert loss.per_sample.shape == (6,)
        assert float(loss.per_sample.mean()) == pytest.approx(float(loss.total.detach()), rel=1e-5)


@pytest.mark.parametrize("name", ["byol", "simsiam"])
def test_exchanging_the_views_changes_nothing(name):
    objective = made()[name].eval()
    views = randn32(0, 2, 6, objective.projector[0].in_features)
    slow = [randn32(3, *views.shape)] if name == "byol" else []
    flipped = [x.flip(0) for x in slow]
    value, other = objective(views, None, *slow), objective(views.flip(0), None, *flipped)
    torch.testing.assert_close(value.per_sample, other.per_sample)


def test_simsiam_stops_the_gradient_of_the_target_side():
    """∂/∂z₂ of −cos(p₁, sg(z₂)): with the predictor frozen to a constant nothing is left."""
    objective = SimSiam(4, 8, 6).train()
    nn.init.zeros_(objective.predictor[3].weight)
    views = randn32(0, 2, 6, 4).requires_grad_()
    objective(views, None).total.backward()
    assert (views.grad == 0).all()


def test_a_slow_copy_follows_and_byol_stops_it_at_the_end():
    for objective in (made()["byol"], made()["moco"]):
        e = encoder()
        with torch.no_grad():
            for p in e.parameters():
                p.add_(1)
        before = [p.clone() for p in objective.slow.encoder.parameters()]
        objective.follow(e, 0.0)
        for old, now, fast in zip(before, objective.slow.encoder.parameters(), e.parameters(), strict=True):
            torch.testing.assert_close(now, 0.9 * old + 0.1 * fast)
        kept = [p.clone() for p in objective.slow.parameters()]
        objective.follow(e, 1.0)
        still = all(torch.equal(a, b) for a, b in zip(kept, objective.slow.parameters(), strict=True))
        assert still == isinstance(objective, BYOL)


def test_the_slow_copy_is_the_encoder_at_first_and_not_the_same_tensors():
    e = encoder()
    objective = BYOL(e, e.dim, 8, 6, 0.9).train()
    images = torch.rand(6, 3, 16, 16, generator=torch.Generator().manual_seed(0))
    torch.testing.assert_close(objective.slow.projector(objective.slow.encoder(images)), objective.projector(e(images)))
    pointers = {p.data_ptr() for p in [*e.parameters(), *objective.projector.parameters()]}
    assert not pointers & {p.data_ptr() for p in objective.slow.parameters()}


def test_what_an_objective_can_do_is_asked_by_protocol():
    """A projector, a slow copy that follows, and state that is as large as the encoder."""
    abilities = (HasProjector, HasSlowCopy, Follows, HasLargeState)
    has = {name: tuple(isinstance(x, ability) for ability in abilities) for name, x in made().items()}
    assert has == {
        "byol": (True, True, True, True),
        "moco": (True, True, True, True),
        "simsiam": (True, False, False, False),
        "barlow": (True, False, False, False),
    }
    bad = BadEncoder(nn.Linear(3, 2))
    assert tuple(isinstance(bad, ability) for ability in abilities) == (False, True, False, True)
    assert bad.slow_encoder() is bad.slow.encoder
    assert not any(isinstance(Supervised(4, 4, 3), ability) for ability in abilities)
    for objective in made().values():
        x = torch.randn(5, next(objective.projector.parameters()).shape[1])
        objective.eval()
        assert torch.equal(objective.project(x), objective.projector(x))


def moco(keys: int) -> MoCo:
    """Whose slow features are its keys."""
    objective = MoCo(encoder(), 4, 8, 6, 0.2, 0.9, keys).train()
    objective.slow.projector = nn.Identity()
    return objective


def test_the_queue_is_first_in_first_out_and_still_outside_training():
    objective = moco(16)
    start = objective.queue.clone()
    keys = [normalize(randn32(s, 10, 6), dim=1) for s in range(3)]
    for k in keys:
        objective(randn32(0, 2, 5, 4), None, 3 * k.view(2, 5, 6))  # normalised on the way in
    assert int(objective.place) == 30 % 16
    torch.testing.assert_close(objective.queue, torch.cat([keys[1][6:], keys[2], keys[1][4:6]]))
    assert not torch.equal(objective.queue, start)
    kept = objective.queue.clone()
    objective.eval()(randn32(0, 2, 5, 4), None, keys[0].view(2, 5, 6))
    assert torch.equal(objective.queue, kept)


def test_more_keys_than_the_queue_holds_leaves_the_last():
    objective = moco(8)
    keys = normalize(randn32(0, 12, 6), dim=1)
    objective(randn32(0, 2, 6, 4), None, keys.view(2, 6, 6))
    torch.testing.assert_close(objective.queue, keys[4:])


def test_negatives_are_those_before_the_batch():
    """A key that enters with its own query would be a negative of itself."""
    objective = moco(16)
    before = objective.queue.clone()
    views, keys = randn32(0, 2, 5, 4), randn32(1, 10, 6)
    first, second = objective.projector(views.flatten(0, 1)).chunk(2)
    expected = (info_nce(first, keys[5:], before, 0.2) + info_nce(second, keys[:5], before, 0.2)) / 2
    torch.testing.assert_close(objective(views, None, keys.view(2, 5, 6)).per_sample, expected.detach())


@pytest.mark.parametrize("arm", ["byol-clean", "simsiam-clean", "moco-clean", "barlow-clean"])
def test_an_arm_trains_in_every_precision_and_writes_what_its_loss_has(tmp_path, arm):
    for precision in ("float32", "bf16", "fp16"):
        recipe = tiny_recipe(arm=arm, queue=64, precision=precision)
        final = load_checkpoint(fit_on_cpu(recipe, tmp_path / precision)).manifest["final"]
        assert math.isfinite(final["loss"])
        assert (final["loss_poison"] is None) == (arm == "barlow-clean")
        assert 0 < final["projection_sd"] <= 1
