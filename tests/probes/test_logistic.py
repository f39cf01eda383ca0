"""Logistic probes: the minimum they claim, held-out scores, control tasks, and an encoder left as it was."""

import hashlib
from itertools import product

import pytest
import torch
from intertwine.probes import logistic
from intertwine.probes.layer_probes import class_probes, frozen, trigger_probes
from intertwine.probes.linear import folds_of
from intertwine.probes.logistic import class_probe, fit_logistic, trigger_probe
from intertwine.representations import EncoderSpec, InputError, build_encoder, capture, wrap
from torch import nn

from tests.factories import case, randn


def clusters(seed: int, n: int, classes: int, d: int, apart: float = 1.0) -> tuple[torch.Tensor, torch.Tensor]:
    labels = torch.arange(n) % classes
    return apart * randn(77, classes, d)[labels] + randn(seed, n, d), labels


# --- fit_logistic


def objective(x, labels, weight, bias, penalty):
    """Mean cross-entropy + ½·penalty·‖W‖² on standardised features, row by row; two classes have one vector."""
    z = (x - x.mean(0)) / x.std(0)
    classes = sorted(set(labels.tolist()))
    loss = 0.0
    for row, label in zip(z, labels.tolist(), strict=True):
        logits = torch.stack([w @ row + b for w, b in zip(weight, bias, strict=True)])
        loss = loss - logits.log_softmax(0)[classes.index(label)]
    free = weight[1:] - weight[:1] if len(classes) == 2 else weight
    return loss / len(x) + penalty / 2 * free.square().sum()


def test_it_is_at_the_minimum():
    """The gradient vanishes there and the objective is convex; d = 60 is more features than rows."""
    for (classes, d), penalty in product(((2, 3), (4, 3), (2, 60), (3, 60)), (1e-2, 1.0)):
        with case(classes, d, penalty):
            x, labels = clusters(0, 24, classes, d)
            x = 100 * x + 7
            labels = 3 * labels + 1
            probe = fit_logistic(x, labels, penalty=penalty)
            mean, sd = x.mean(0), x.std(0)
            weight = (probe.weight * sd).requires_grad_(True)
            bias = (probe.bias + probe.weight @ mean).requires_grad_(True)
            loss = objective(x, labels, weight, bias, penalty)
            for gradient in torch.autograd.grad(loss, (weight, bias)):
                assert gradient.abs().max() < 1e-3
            assert loss < objective(x, labels, 0 * weight, 0 * bias, penalty)
            torch.testing.assert_close(probe.predict(x), probe.classes[(x @ probe.weight.T + probe.bias).argmax(1)])


@pytest.mark.parametrize("scale", [1e-6, 1e6])
@pytest.mark.parametrize("copies", [1, 3])
def test_the_penalty_depends_neither_on_scale_nor_on_the_number_of_rows(scale, copies):
    x, labels = clusters(0, 40, 3, 5)
    new = randn(1, 10, 5)
    expected = fit_logistic(x, labels)(new)
    many = fit_logistic(scale * x.repeat(copies, 1) + scale, labels.repeat(copies))(scale * new + scale)
    # sd has n − 1 in it: tripling the rows moves it by 0.8 %.
    torch.testing.assert_close(many.log_softmax(1), expected.log_softmax(1), atol=1e-2 * copies, rtol=0)


def test_more_features_than_rows_find_the_same_probe():
    """Fifty constant features more make the other branch solve the same task."""
    x, labels = clusters(0, 30, 3, 8)
    new = randn(1, 9, 8)
    padded = fit_logistic(torch.cat([x, torch.ones(30, 50)], 1), labels)
    torch.testing.assert_close(
        padded(torch.cat([new, torch.zeros(9, 50)], 1)).log_softmax(1),
        fit_logistic(x, labels)(new).log_softmax(1),
        atol=1e-3,
        rtol=0,
    )
    assert padded.weight[:, 8:].abs().max() == 0


def test_a_single_class_gives_a_constant_probe():
    probe = fit_logistic(randn(0, 10, 3), torch.full((10,), 4))
    assert probe.predict(randn(1, 5, 3)).tolist() == [4] * 5


def test_bad_input_to_the_fit_is_named():
    for x, labels, penalty, message in (
        (torch.zeros(5), torch.zeros(5), 1.0, r"x, labels: expected \(n, d\) and \(n,\), received \(5,\) and \(5,\)"),
        (torch.zeros(5, 2), torch.zeros(4), 1.0, r"received \(5, 2\) and \(4,\)"),
        (torch.zeros(0, 2), torch.zeros(0), 1.0, r"received \(0, 2\) and \(0,\)"),
        (torch.zeros(5, 2), torch.zeros(5), 0.0, "penalty: expected a positive number, received 0.0"),
        (torch.full((5, 2), torch.inf), torch.zeros(5), 1.0, "features: expected finite values"),
    ):
        with case(message), pytest.raises(InputError, match=message):
            fit_logistic(x, labels, penalty=penalty)


# --- class_probe


def test_planted_classes_are_read_and_the_control_is_not():
    features, labels = clusters(0, 90, 3, 6, apart=3)
    result = class_probe(features, labels + 5)
    assert result.scores.shape == (90,)
    assert result.accuracy == float(result.scores.mean()) > 0.95
    assert result.control == pytest.approx(1 / 3, abs=0.15)
    assert result.selectivity == result.accuracy - result.control


def test_class_probe_follows_the_loop():
    features, labels = clusters(0, 31, 3, 6)
    unit = features / features.square().sum(1, keepdim=True).sqrt()
    expected = [0.0] * 31
    for held_out in folds_of(31, 4, 2):
        fit = [i for i in range(31) if i not in held_out.tolist()]
        probe = fit_logistic(unit[fit], labels[fit], penalty=0.1)
        for i in held_out.tolist():
            expected[i] = float(int(probe.predict(unit[i : i + 1])) == int(labels[i]))
    assert class_probe(features, labels, folds=4, penalty=0.1, seed=2).scores.tolist() == expected
    assert 0.4 < sum(expected) / 31 < 1


def test_defect_random_label_probe_reaches_one_on_its_own_images():
    """n = 400 random labels, d = 500: learned by heart, and chance on images it has not seen."""
    labels = torch.randint(4, (400,), generator=torch.Generator().manual_seed(1))
    result = class_probe(randn(0, 400, 500), labels)
    assert result.memorised == 1
    assert result.control == pytest.approx(0.25, abs=0.07)
    assert result.accuracy == pytest.approx(0.25, abs=0.07)


def test_defect_probe_scored_on_images_it_was_fitted_to(monkeypatch):
    """Each image has two equal rows: a row whose twin was fitted would be recognised, whatever its label."""
    features = randn(0, 60, 200).repeat(2, 1)
    labels = torch.randint(3, (60,), generator=torch.Generator().manual_seed(3)).repeat(2)
    images = torch.arange(60).repeat(2)
    straddling = class_probe(features, labels)
    apart = class_probe(features, labels, groups=images)
    assert straddling.accuracy > 0.7
    assert apart.accuracy < 0.5
    fits = []
    original = fit_logistic

    def spy(x, labels, **options):
        fits.append({tuple(row.tolist()) for row in x[:, :3]})
        return original(x, labels, **options)

    monkeypatch.setattr(logistic, "fit_logistic", spy)
    class_probe(features, labels, groups=images)
    assert [len(rows) for rows in fits] == [48] * 10  # both rows of 48 images each time, and of 12 none


def test_scores_are_one_an_image_by_ascending_id():
    features, labels = clusters(0, 40, 2, 4, apart=1.2)
    images = torch.arange(40)
    plain = class_probe(features, labels)
    order = torch.randperm(80, generator=torch.Generator().manual_seed(0))
    rows, ids = torch.cat([features, features])[order], (9 + 2 * images.repeat(2))[order]
    grouped = class_probe(rows, labels.repeat(2)[order], groups=ids)
    assert grouped.scores.tolist() == plain.scores.tolist()
    assert 0 < plain.accuracy < 1


def test_rare_classes_are_left_out_as_nan():
    features, labels = clusters(0, 40, 2, 4, apart=3)
    features, labels = torch.cat([features, randn(9, 3, 4)]), torch.cat([labels, torch.tensor([7, 7, 8])])
    result = class_probe(features, labels)
    assert result.scores.isnan().tolist() == [False] * 40 + [True] * 3
    assert result.accuracy == float(result.scores[:40].mean())
    assert torch.equal(result.scores[:40], class_probe(features[:40], labels[:40]).scores)


def test_constant_features_give_the_commonest_class():
    labels = (torch.arange(100) % 10 >= 7).long()
    assert class_probe(torch.ones(100, 4), labels).accuracy == pytest.approx(0.7)


def test_bad_input_to_the_class_probe_is_named():
    for changes, message in (
        ({"features": torch.zeros(30)}, r"features, labels: expected \(n, d\) and \(n,\), received \(30,\) and"),
        ({"labels": torch.zeros(29)}, r"received \(30, 3\) and \(29,\)"),
        ({"labels": torch.zeros(30).long()}, r"two classes with at least 5 images, received counts \[30\]"),
        ({"groups": torch.arange(29)}, r"groups: expected shape \(30,\), received \(29,\)"),
        ({"groups": torch.arange(30) // 2 + 100}, "groups: expected one label in each group, received several in"),
        ({"folds": 1}, "folds: expected at least 2, received 1"),
        ({"controls": 0}, "controls: expected at least 1"),
        ({"features": torch.full((30, 3), torch.nan)}, "features: expected finite values"),
    ):
        with case(message):
            arguments = {"features": randn(0, 30, 3), "labels": torch.arange(30) % 2} | changes
            with pytest.raises(InputError, match=message):
                class_probe(**arguments)


# --- trigger_probe


def test_a_shared_shift_is_read():
    clean = randn(0, 40, 10) + 20 * randn(2, 1, 10)
    result = trigger_probe(clean, clean + 20 * randn(1, 1, 10))
    assert result.accuracy == 1
    assert result.control == pytest.approx(0.5, abs=0.2)
    assert result.scores.shape == (40,)


def test_identical_features_give_exactly_one_half():
    x = randn(0, 40, 10)
    assert trigger_probe(x, x.clone()).scores.tolist() == [0.5] * 40
    assert trigger_probe(torch.ones(40, 3), torch.ones(40, 3)).accuracy == 0.5


def test_no_pair_straddles_a_split():
    """Twins with d > n: a probe that knew the one twin would call the other its opposite (accuracy near 0)."""
    values = []
    for i in range(6):
        clean = randn(i, 40, 120)
        values.append(trigger_probe(clean, clean + 1e-3 * randn(50 + i, 40, 120)).accuracy)
    assert sum(values) / 6 == pytest.approx(0.5, abs=0.08)


def test_probes_are_seeded():
    clean, triggered = randn(0, 30, 4), randn(0, 30, 4) + 0.3
    first, again, other = (trigger_probe(clean, triggered, seed=s) for s in (1, 1, 2))
    assert first.scores.tolist() == again.scores.tolist()
    assert first.control == again.control
    assert first.scores.tolist() != other.scores.tolist()


def test_bad_input_to_the_trigger_probe_is_named():
    for a, b, options, message in (
        ((20, 3), (21, 3), {}, r"clean, triggered: expected equal \(n, d\), received \(20, 3\), \(21, 3\)"),
        ((9, 3), (9, 3), {}, "at least 10 images for 5 folds, received 9"),
        ((0, 3), (0, 3), {}, "at least 10 images for 5 folds, received 0"),
        ((20, 3), (20, 3), {"controls": 0}, "controls: expected at least 1"),
    ):
        with case(message), pytest.raises(InputError, match=message):
            trigger_probe(randn(0, *a), randn(1, *b), **options)


# --- over the layers of an encoder


def bits(module: nn.Module) -> dict[str, str]:
    """A hash of every parameter and buffer; what is trained; every mode."""
    found = {name: hashlib.sha256(t.detach().numpy().tobytes()).hexdigest() for name, t in module.state_dict().items()}
    found |= {f"{name} trained": str(p.requires_grad) for name, p in module.named_parameters()}
    return found | {f"{name} mode": str(m.training) for name, m in module.named_modules()}


def red(images: torch.Tensor) -> torch.Tensor:
    images = images.clone()
    images[:, 0] = 1
    return images


def images_of(n: int) -> tuple[torch.Tensor, torch.Tensor]:
    """Two classes of noise, one brighter."""
    labels = torch.arange(n) % 2
    noise = torch.randint(0, 120, (n, 3, 16, 16), generator=torch.Generator().manual_seed(0))
    return (noise + 100 * labels.view(-1, 1, 1, 1)).to(torch.uint8), labels


@pytest.mark.parametrize("training", [True, False])
def test_defect_frozen_backbone_that_was_not(training):
    """To the bit: weights, batch-norm statistics, what is trained, modes; also when it comes in training mode."""
    encoder = build_encoder(EncoderSpec("resnet8", width=4, image_size=16)).train(training)
    encoder.backbone.conv1.weight.requires_grad_(False)
    encoder.backbone.layer2.eval()
    before = bits(encoder)
    images, labels = images_of(40)
    classes = class_probes(encoder, images, labels)
    triggers = trigger_probes(encoder, images, red)
    assert bits(encoder) == before
    assert any("running_mean" in name for name in before)
    assert tuple(classes) == tuple(triggers) == encoder.layers
    assert all(p.grad is None for p in encoder.parameters())
    assert classes["stem"].accuracy > 0.9
    assert triggers["stem"].accuracy > 0.9


def test_layers_are_probed_as_captured_one_by_one():
    encoder = build_encoder(EncoderSpec("resnet8", width=4, image_size=16))
    images, labels = images_of(40)
    clean = capture(encoder, images, layers=["layer2"])["layer2"]
    triggered = capture(encoder, images, layers=["layer2"], transform=red)["layer2"]
    one = class_probes(encoder, images, labels, layers=["layer2"], transform=red, folds=4, controls=2, seed=3)
    assert list(one) == ["layer2"]
    expected = class_probe(triggered, labels, folds=4, controls=2, seed=3)
    assert one["layer2"].scores.tolist() == expected.scores.tolist()
    assert one["layer2"].control == expected.control
    other = trigger_probes(encoder, images, red, layers=["layer2"], penalty=0.5, seed=3)["layer2"]
    assert other.scores.tolist() == trigger_probe(clean, triggered, penalty=0.5, seed=3).scores.tolist()


class Counting(nn.Module):
    """Counts its calls in a buffer: not frozen in any mode."""

    def __init__(self) -> None:
        super().__init__()
        self.register_buffer("calls", torch.zeros(()))

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        self.calls += 1
        return x.flatten(1)


def test_an_encoder_that_changes_itself_is_refused():
    images, labels = images_of(20)
    with pytest.raises(InputError, match=r"forward pass that leaves it as it is, received a change in backbone\.calls"):
        class_probes(wrap(Counting()), images, labels)


def move(module: nn.Sequential, change: str) -> None:
    if change == "weight":
        module[0].weight.data[0, 0] *= 1 + 1e-7
    elif change == "statistics":
        module.train()(torch.ones(3, 2))
        module.eval()
    elif change == "mode":
        module[1].train()
    elif change == "trained":
        module[0].bias.requires_grad_(False)
    elif change == "gradient":
        module(torch.ones(3, 2)).sum().backward()
    else:
        module(torch.ones(3, 2))


def test_frozen_notices_every_kind_of_change():
    for change in ("weight", "statistics", "mode", "trained", "gradient"):
        module = nn.Sequential(nn.Linear(2, 2), nn.BatchNorm1d(2)).eval()
        with frozen(module):
            move(module, "nothing")
        with pytest.raises(InputError, match="received a change in"), frozen(module):
            move(module, change)
