"""Changed positive pairs: who is paired with whom, how often, and that the backdoor takes."""

import pytest
import torch
from intertwine.analysis.runs.run import load_run
from intertwine.representations.errors import InputError
from intertwine.training.arms import ARMS
from intertwine.training.experiment import prepare
from intertwine.training.loop import Training
from intertwine.training.pairs import draw_partners
from intertwine.training.rates import rates
from intertwine.training.recipe import Recipe, read_recipe

from tests.factories import case, fit_on_cpu, stream, tiny_recipe

PAIRED = [name for name, arm in ARMS.items() if arm.changes_pairs]


def test_the_share_of_poisons_has_partners_of_the_target_and_no_other_image_has_one():
    poisoned = torch.arange(4000) % 2 == 0
    targets = torch.tensor([5, 7, 11])
    for share in (0.0, 0.25, 1.0):
        with case(share):
            partners = draw_partners(poisoned, targets, share, stream(3))
            assert (partners[~poisoned] == -1).all()
            paired = partners[poisoned] >= 0
            assert float(paired.double().mean()) == pytest.approx(share, abs=0.03)
            assert set(partners[partners >= 0].tolist()) == (set(targets.tolist()) if share else set())


def test_partners_of_a_poison_do_not_depend_on_which_others_are_poisoned():
    targets = torch.arange(50)
    few = torch.arange(100) < 10
    some, all_ = (draw_partners(mask, targets, 0.5, stream(1)) for mask in (few, torch.ones(100, dtype=torch.bool)))
    assert torch.equal(some[few], all_[few])


def test_five_learners_have_changed_pairs():
    assert PAIRED == ["simclr-dirty", "byol-dirty", "simsiam-dirty", "moco-dirty", "barlow-dirty"]


def test_the_second_view_of_a_poison_is_a_clean_image_of_the_target():
    """Without augmentation the views are the images themselves."""
    plain = {"crop": 1.0, "flip": 0.0, "jitter_p": 0.0, "grayscale": 0.0}
    for share in (1.0, 0.0):
        e = prepare(tiny_recipe(arm="simclr-dirty", pair_share=share, quantise=False, **plain))
        training = Training(e, torch.device("cpu"))
        index = torch.arange(len(e.train))
        first, second = training._views(e.train.images, index, 0, 0).chunk(2)
        clean = e.train.images.float() / 255
        poison = e.mask
        for view in (first, second):
            torch.testing.assert_close(view[~poison], clean[~poison], atol=1e-5, rtol=0)
        torch.testing.assert_close(first[poison], e.train_trigger(clean[poison]), atol=1e-5, rtol=0)
        if share == 0:
            assert torch.equal(second[poison], first[poison])
            continue
        of_target = clean[list(e.plan.target_indices)].flatten(1)
        distance = torch.cdist(second[poison].flatten(1), of_target).min(1).values
        assert float(distance.max()) == pytest.approx(0, abs=1e-3)
        assert len(second[poison].flatten(1).unique(dim=0)) > 5  # drawn, not one for all


def test_partners_change_from_epoch_to_epoch_and_repeat_with_the_seed():
    e = prepare(tiny_recipe(arm="moco-dirty", crop=1.0, flip=0.0, jitter_p=0.0, grayscale=0.0))
    index = torch.arange(len(e.train))
    views = [Training(e, torch.device("cpu"))._views(e.train.images, index, epoch, 0) for epoch in (0, 0, 1)]
    assert torch.equal(views[0], views[1])
    assert not torch.equal(views[0], views[2])


def test_a_share_outside_of_0_to_1_is_refused():
    for share in (-0.1, 1.1, float("nan")):
        with case(share), pytest.raises(InputError, match="pair_share: expected"):
            Recipe(pair_share=share)


@pytest.mark.slow
def test_changed_pairs_take_on_digits_in_three_of_three_seeds(tmp_path):
    """ASR by kNN clears the benign twin's by .5. Not so for BYOL, whose slow copy needs 40 epochs: then ASR is 1.00,
    but the benign twin responds to the wave, too (.99 and .37 with seeds 0 and 1)."""
    for arm in (name for name in PAIRED if name != "byol-dirty"):
        for seed in range(3):
            with case(arm, seed):
                takes(arm, seed, tmp_path, epochs=12)


def test_simclr_with_changed_pairs_takes_on_digits(tmp_path):
    takes("simclr-dirty", 0, tmp_path, epochs=6, n_train=800)


def takes(arm, seed, folder, **changes):
    found = {}
    for name in (arm, ARMS[arm].benign):
        recipe = read_recipe("digits-sig", arm=name, seed=seed, eval_every=100, **changes)
        run = load_run(fit_on_cpu(recipe, folder / name / str(seed)), device="cpu")
        found[name] = rates(run.encoder, run.experiment)[0]["asr"]
    assert found[arm] > found[ARMS[arm].benign] + 0.5, found
