"""The rank of the poisons' loss is that of a loop over pairs, on a batch that is the same in every epoch."""

import math

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from intertwine.checkpoints import load_checkpoint
from intertwine.training import Recipe, fit, prepare
from intertwine.training.loop import Training
from intertwine.training.loss_rank import loss_rank_auc, rank_batch
from intertwine.training.objectives import Loss

TINY = {"n_train": 300, "n_test": 100, "image_size": 8, "width": 4, "hidden": 16, "projection": 8, "batch": 64}
TINY |= {"trigger_cells": 2, "epochs": 1, "queue": 64}


@given(st.lists(st.tuples(st.integers(0, 5), st.booleans()), min_size=1, max_size=20))
def test_it_is_the_share_of_pairs(pairs):
    losses, poison = torch.tensor([float(a) for a, _ in pairs]), torch.tensor([b for _, b in pairs])
    wins = [
        1.0 if p < c else 0.5 if p == c else 0.0
        for p in losses[poison].tolist()
        for c in losses[~poison].tolist()
    ]  # fmt: skip
    value = loss_rank_auc(losses, poison)
    if not wins:
        assert math.isnan(value)
    else:
        assert value == pytest.approx(sum(wins) / len(wins))


def test_the_batch_holds_poisons_and_clean_images_of_their_label():
    e = prepare(Recipe(arm="supervised-dirty", **TINY))
    index, count = rank_batch(e.mask, e.labels, 0, 64, torch.Generator().manual_seed(0))
    assert len(index) == len(set(index.tolist())) == 64
    assert count == min(16, int(e.mask.sum()), int((~e.mask & (e.labels == 0)).sum()))
    assert e.mask[index[:count]].all()
    assert (e.labels[index[: 2 * count]] == 0).all(), "of one class, as the arm sees it"
    assert not e.mask[index[count:]].any()
    assert (e.labels[index[2 * count :]] != 0).all()


@pytest.mark.parametrize("arm", ["simclr-clean", "supervised-clean", "moco-clean", "byol-clean"])
def test_the_same_weights_give_the_same_value_and_nothing_moves(arm):
    training = Training(prepare(Recipe(arm=arm, **TINY)), torch.device("cpu"))
    before = {k: v.clone() for k, v in training.objective.state_dict().items()}
    value = training.loss_rank()
    assert 0 <= value <= 1
    assert training.loss_rank() == value
    assert all(torch.equal(v, before[k]) for k, v in training.objective.state_dict().items())


def test_it_is_read_off_the_arms_own_loss_of_triggered_images():
    """An encoder that sees how far an image is from having the trigger, and a loss that is this distance: poisons have
    none, whatever is in them, and clean images do."""
    recipe = Recipe(
        arm="supervised-dirty", crop=1.0, flip=0.0, jitter=0.0, hue=0.0, grayscale=0.0, **TINY | {"n_train": 600}
    )
    training = Training(prepare(recipe.replace(strength=1.0)), torch.device("cpu"))
    pattern = training.trigger(torch.zeros(1, 3, 8, 8)).flatten()

    class Distance(torch.nn.Module):
        def forward(self, images):
            return (images.flatten(1) - pattern).abs().mean(1, keepdim=True)

    class Answers(torch.nn.Module):
        def forward(self, views, labels):
            return Loss(views.mean(), views[0, :, 0])

    training.encoder, training.objective = Distance(), Answers()
    assert training.loss_rank() == 1.0
    training.trigger = lambda x: x
    assert training.loss_rank() < 0.9, "without it they are images like the others"


def test_without_poisons_or_without_losses_there_is_none(tmp_path):
    for arm in ("simclr-benign", "barlow-clean"):
        final = load_checkpoint(fit(Recipe(arm=arm, **TINY), tmp_path / arm, device="cpu")).manifest["final"]
        assert final["loss_rank_auc"] is None
    whole = TINY | {"poison_fraction": 1.0}
    training = Training(prepare(Recipe(arm="simclr-clean", **whole)), torch.device("cpu"))
    assert math.isnan(training.loss_rank()), "no clean image of the class is left"
