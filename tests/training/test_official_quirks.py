"""What the official CTRL recipe does differently, each switched on by a field."""

import math

import pytest
import torch
from intertwine.checkpoints import load_checkpoint
from intertwine.representations import EncoderSpec, build_encoder
from intertwine.training import Augment, Recipe, prepare, read_recipe
from intertwine.training.model import build_objective
from intertwine.training.schedule import learning_rate
from torch import nn

from tests.factories import fit_on_cpu, tiny_recipe


def test_the_rate_rises_from_zero_by_whole_epochs_and_falls_along_a_cosine():
    recipe = Recipe(schedule="epochs", epochs=800, warmup=0.0125, lr=0.06)
    rates = [learning_rate(recipe, step, 800 * 97) for step in range(800 * 97)]
    by_epoch = [rates[e * 97] for e in range(800)]
    assert all(rates[i] == by_epoch[i // 97] for i in range(0, len(rates), 11))
    assert by_epoch[:11] == pytest.approx([0.006 * e for e in range(11)])
    for epoch in (10, 405, 799):
        assert by_epoch[epoch] == pytest.approx(0.03 * (1 + math.cos(math.pi * (epoch - 10) / 790)))


@pytest.mark.parametrize(("one_coin", "expected"), [(True, {0, 60}), (False, None)])
def test_one_coin_decides_for_the_batch(one_coin, expected):
    augment = Augment(crop=1, flip=0, jitter=0.4, hue=0.1, jitter_p=0.5, grayscale=0, one_coin=one_coin)
    x = 0.2 + 0.6 * torch.rand(60, 3, 8, 8, generator=torch.Generator().manual_seed(0))
    counts = []
    for seed in range(30):
        out = augment(x, torch.Generator().manual_seed(seed))
        counts.append(int(((out - x).abs().amax((1, 2, 3)) > 1e-3).sum()))
        if counts[-1] == 60:
            assert len((out - x).mean((1, 2, 3)).unique()) > 50, "by amounts of their own"
    if expected:
        assert set(counts) == expected
    else:
        assert 20 <= min(counts) <= max(counts) <= 40


def test_the_first_images_of_the_class_are_poisoned():
    first, drawn = (prepare(tiny_recipe(epochs=1, poison_choice=choice)) for choice in ("first", "random"))
    of_target = (first.train.labels == 0).nonzero().flatten()
    assert first.plan.target_indices == tuple(of_target[: first.plan.count].tolist())
    assert drawn.plan.target_indices != first.plan.target_indices
    assert drawn.plan.count == first.plan.count


def test_the_loss_scale_scales_the_step_and_not_what_is_written_down(tmp_path):
    """With SGD without momentum and decay a scale of 2 is a rate twice as large."""
    plain = {"optimiser": "sgd", "momentum": 0.0, "arm": "simclr-clean"}
    for name, changes in (("scaled", {"loss_scale": 2.0, "lr": 0.01}), ("faster", {"lr": 0.02})):
        fit_on_cpu(tiny_recipe(epochs=1, **plain, **changes), tmp_path / name)
    scaled, faster = (load_checkpoint(tmp_path / name) for name in ("scaled", "faster"))
    for a, b in zip(scaled.encoder.parameters(), faster.encoder.parameters(), strict=True):
        torch.testing.assert_close(a, b)
    assert scaled.manifest["final"]["loss"] == pytest.approx(faster.manifest["final"]["loss"], rel=1e-5)


def test_the_head_without_batch_normalisation():
    encoder = build_encoder(EncoderSpec("resnet8", width=4, image_size=8))
    for norm, count in ((True, 1), (False, 0)):
        objective = build_objective(Recipe(head_norm=norm), "simclr", encoder, 4)
        assert sum(isinstance(m, nn.BatchNorm1d) for m in objective.modules()) == count


def test_the_two_presets_say_what_science_says():
    official, standard = read_recipe("cifar10-ctrl-official"), read_recipe("cifar10-standard")
    assert official.loss_scale == pytest.approx(0.5 / 0.07)
    assert official.poison_fraction * 50_000 == 500
    assert (official.strength, official.test_strength, official.quantise) == (100.0, None, False)
    assert (official.batch, official.epochs, round(official.warmup * official.epochs)) == (512, 800, 10)
    assert (standard.loss_scale, standard.jitter_coin, standard.quantise) == (1.0, "image", True)
    assert (standard.strength, standard.test_strength, standard.temperature) == (50.0, 100.0, 0.2)


def test_pixels_are_normalised_unless_the_recipe_says_otherwise():
    official, standard = read_recipe("cifar10-ctrl-official"), read_recipe("cifar10-standard")
    assert (official.encoder_spec().mean, official.encoder_spec().std) == ((0.0, 0.0, 0.0), (1.0, 1.0, 1.0))
    assert (standard.encoder_spec().mean, standard.encoder_spec().std) == ((0.5, 0.5, 0.5), (0.25, 0.25, 0.25))


def test_the_coin_is_one_for_the_images_of_a_view_and_each_view_has_its_own():
    """science.md: one jitter coin per batch view."""
    augment = Augment(crop=1, flip=0, jitter=0.4, hue=0.1, jitter_p=0.5, grayscale=0, one_coin=True)
    coins = [augment.draw(60, torch.Generator().manual_seed(seed))[:, 3] for seed in range(20)]
    assert all(len(set(coin.tolist())) == 1 for coin in coins)
    assert {bool(coin[0] < 0.5) for coin in coins} == {True, False}
