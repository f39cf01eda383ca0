"""Who trains the encoder can train it again, and knows each image's early loss; of the attack he knows nothing."""

import pytest
import torch
from intertwine.analysis.defences import defender_of
from intertwine.checkpoints.store import load_snapshot
from intertwine.representations.errors import InputError
from intertwine.training.objectives import Supervised


def test_training_again_on_the_same_images_is_the_same_training(small_pair):
    """Without a poison and quantised as the defender's images are, the clean run itself comes out, to the bit."""
    _, benign = small_pair
    defender, _ = defender_of(benign)
    again = defender.training.again(defender.images)
    for name, weight in benign.encoder.state_dict().items():
        assert torch.equal(weight, again.state_dict()[name]), name
    fewer = defender.training.again(defender.images, torch.arange(300) < 200)
    assert not torch.equal(fewer.backbone.conv1.weight, again.backbone.conv1.weight)
    with pytest.raises(InputError, match="mask: expected at least a batch of 64 images, received 10"):
        defender.training.again(defender.images, torch.arange(300) < 10)


def test_training_again_has_the_poisons_of_the_images(small_pair):
    """Poisons are in the images now, and no mask puts the trigger on: the poisoned run itself comes out."""
    run, _ = small_pair
    defender, _ = defender_of(run)
    again = defender.training.again(defender.images)
    for name, weight in run.encoder.state_dict().items():
        torch.testing.assert_close(again.state_dict()[name], weight, rtol=1e-3, atol=1e-4)


def test_early_losses_are_those_of_the_run(small_pair, unlabelled):
    """Of a supervised arm: cross-entropy of the image as it is, by encoder and head of the first snapshot after the
    warm-up (of two epochs the first)."""
    run, _ = small_pair
    defender, _ = defender_of(run)
    encoder, head = load_snapshot(run.checkpoint, 1)
    objective = Supervised(encoder.dim, run.experiment.recipe.hidden, 10)
    objective.load_state_dict(head)
    with torch.no_grad():
        logits = objective.eval().head(encoder(defender.images))
    expected = torch.nn.functional.cross_entropy(logits, defender.labels, reduction="none").double()
    torch.testing.assert_close(defender.losses, expected, rtol=1e-4, atol=1e-5)
    of_pairs, _ = defender_of(unlabelled)
    assert torch.equal(of_pairs.losses, of_pairs.training.early_losses(of_pairs.images)), "seeded"
    assert 1.0 < float(of_pairs.losses.mean()) < 6.0, "of NT-Xent among 64 pairs: ln 127 where nothing is learned"


def test_a_method_without_a_loss_of_its_own_is_refused(small_pair, of_arm):
    defender, _ = defender_of(small_pair[0])
    with pytest.raises(InputError, match=r"loss: expected a learner of supervised, supcon, .* received byol"):
        _ = of_arm(defender, "byol-clean").losses
