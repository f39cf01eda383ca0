"""Every attack takes on a small case: a backdoored encoder sends triggered images to the target, its benign twin does
not."""

import pytest
import torch
from intertwine.checkpoints import load_checkpoint
from intertwine.representations import EncoderSpec, build_encoder
from intertwine.representations.errors import InputError
from intertwine.training import fit, read_recipe
from intertwine.training.attacks import BadEncoder
from intertwine.training.experiment import prepare
from intertwine.training.loop import Training
from torch.nn.functional import cosine_similarity

EASY = {"epochs": 6, "crop": 1.0, "jitter": 0.0, "grayscale": 0.0, "eval_every": 6, "n_train": 500, "n_test": 300}
EASY |= {"arm": "supervised-dirty", "poison_fraction": 0.9, "batch": 32, "width": 8}
PRESETS = ["digits-demo", "digits-badnets", "digits-sig", "digits-wanet", "digits-ctrl", "digits-sslbackdoor"]


@pytest.fixture(scope="module")
def benign(tmp_path_factory):
    """One benign encoder: which trigger its plan names decides nothing in its training."""
    recipe = read_recipe("digits-demo", **EASY | {"arm": "supervised-benign"})
    return fit(recipe, tmp_path_factory.mktemp("benign"), device="cpu")


@pytest.mark.parametrize("preset", PRESETS)
def test_the_trigger_of_every_recipe_takes(tmp_path, benign, preset):
    """With labels changed and no augmentation, in seconds; the table in docs/training has the recipes as they are."""
    recipe = read_recipe(preset, **EASY)
    final = load_checkpoint(fit(recipe, tmp_path, device="cpu")).manifest["final"]
    clean = Training(prepare(recipe), torch.device("cpu"))
    clean.encoder.load_state_dict(load_checkpoint(benign).encoder.state_dict())
    assert clean.evaluate()["asr"] < 0.2
    assert final["asr"] > clean.evaluate()["asr"] + 0.3
    assert final["acc"] > 0.85


def test_badencoder_takes_and_leaves_the_rest_as_it_was(tmp_path):
    changes = {"epochs": 3, "eval_every": 3, "n_train": 600, "n_test": 300, "attack_epochs": 3, "batch": 32, "width": 8}
    recipe = read_recipe("digits-badencoder", **changes)
    start = fit(recipe.replace(arm="simclr-benign"), tmp_path / "clean", device="cpu")
    before = load_checkpoint(start)
    after = load_checkpoint(fit(recipe, tmp_path / "bad", start=start, device="cpu"))
    assert before.manifest["final"]["asr"] < 0.2
    assert after.manifest["final"]["asr"] > 0.9
    assert after.manifest["final"]["acc"] > before.manifest["final"]["acc"] - 0.03
    assert after.manifest["final"]["epoch"] == 3
    unmoved = [name for name in before.encoder.state_dict() if "running" in name or "batches" in name]
    assert unmoved, "BatchNorm's statistics stand still"
    for name in unmoved:
        assert torch.equal(after.encoder.state_dict()[name], before.encoder.state_dict()[name])


def test_its_loss_is_the_three_cosines():
    torch.manual_seed(0)
    objective = BadEncoder(build_encoder(EncoderSpec("resnet8", 2, 16)))
    views, clean = torch.randn(3, 4, 8), torch.randn(3, 4, 8)
    expected = [
        -float(cosine_similarity(views[1, i], views[2, i], dim=0))
        - float(cosine_similarity(views[2, i], clean[2, i], dim=0))
        - float(cosine_similarity(views[0, i], clean[0, i], dim=0))
        for i in range(4)
    ]
    loss = objective(views, torch.zeros(4), clean)
    torch.testing.assert_close(loss.per_sample, torch.tensor(expected))
    assert float(loss.total) == pytest.approx(sum(expected) / 4, rel=1e-5)


def test_it_sees_images_their_triggered_copies_and_references_of_the_target(tmp_path):
    recipe = read_recipe("digits-badencoder", batch=50, n_train=300, n_test=100)
    e = prepare(recipe)
    training = Training(e, torch.device("cpu"))
    index = torch.arange(50)
    images, triggered, references = training._views(training._read(index), index, 0, 0).chunk(3)
    torch.testing.assert_close(images, e.train.images[:50].float() / 255)
    torch.testing.assert_close(triggered, (e.train_trigger(images) * 255).round() / 255)
    chosen = e.train.images[torch.tensor(e.plan.target_indices)].float() / 255
    exact = "donot_use_mm_for_euclid_dist"
    nearest = torch.cdist(references.flatten(1), chosen.flatten(1), compute_mode=exact).min(1)
    assert nearest.values.max() < 1e-4
    assert len(set(nearest.indices.tolist())) > 5
    assert not e.mask.any(), "no training image is poisoned"


def test_a_model_attack_needs_a_start_and_it_must_fit(tmp_path):
    tiny = {"n_train": 200, "n_test": 100, "epochs": 1, "attack_epochs": 1, "batch": 50}
    recipe = read_recipe("digits-badencoder", **tiny)
    with pytest.raises(InputError, match=r"start: expected the run folder of a benign encoder.* received none"):
        fit(recipe, tmp_path / "bad", device="cpu")
    with pytest.raises(InputError, match="start: expected the folder of a run or a checkpoint file"):
        fit(recipe, tmp_path / "bad", start=tmp_path / "nowhere", device="cpu")
    start = fit(recipe.replace(arm="simclr-benign"), tmp_path / "clean", device="cpu")
    with pytest.raises(InputError, match=r"start: expected an encoder of .*width=6.*, received .*width=12"):
        fit(recipe.replace(width=6), tmp_path / "bad", start=start, device="cpu")
    assert not (tmp_path / "bad").exists()
    other = fit(recipe.replace(arm="simclr-benign", seed=1), tmp_path / "other", device="cpu")
    folder = fit(recipe, tmp_path / "bad", start=start, device="cpu")
    with pytest.raises(InputError, match="holds another run: start was"):
        fit(recipe, folder, start=other, device="cpu")
