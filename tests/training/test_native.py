"""The native head sees what the victim saw: a backdoor with a place of its own, which clean banks do not show."""

import torch
from intertwine.checkpoints.store import load_checkpoint
from intertwine.representations.capture import capture
from intertwine.representations.encoders import wrap
from intertwine.representations.evaluators import knn_predict
from intertwine.training import read_recipe
from intertwine.training.experiment import prepare
from intertwine.training.native import fit_native_head
from torch import nn
from torch.nn.functional import normalize

from tests.factories import trained


def test_it_finds_a_backdoor_that_a_clean_bank_does_not():
    recipe = read_recipe("digits-badnets", arm="supcon-dirty", image_size="16", n_train="600")
    e = prepare(recipe)
    pixels = wrap(nn.Flatten())
    head = fit_native_head(pixels, e)
    assert (head["weight"].shape, head["bias"].shape) == ((10, 768), (10,))
    others = e.test.labels != e.plan.target
    x = capture(pixels, e.test.images[others], transform=e.test_trigger)["features"]
    native = (normalize(x, dim=1) @ head["weight"].T + head["bias"]).argmax(1)
    bank = capture(pixels, e.train.images[~e.mask])["features"]
    knn = knn_predict(x, bank, e.train.labels[~e.mask])
    assert (native == e.plan.target).float().mean() > 0.8
    assert (knn == e.plan.target).float().mean() < 0.2
    few = fit_native_head(pixels, e, most=100)
    assert not torch.equal(few["weight"], head["weight"])


def test_it_is_stored_with_the_run_of_a_learner_without_a_classifier(tmp_path):
    for arm, stored in (("supcon-dirty", True), ("supervised-dirty", False)):
        found = load_checkpoint(trained(tmp_path / arm, arm, epochs=1))
        assert (found.native_head is not None) is stored
