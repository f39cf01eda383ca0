"""Collapse is seen where it is planted, and not where it is not."""

import pytest
import torch
from intertwine.checkpoints import load_checkpoint
from intertwine.training import Recipe
from intertwine.training.collapse import collapse_signs, collapsed
from intertwine.training.objectives import SimSiam
from torch import nn

from tests.factories import fit_on_cpu, randn32, tiny_recipe


def test_one_point_one_line_and_a_cloud():
    point = 5 + 1e-3 * randn32(0, 200, 16)
    line = randn32(0, 200, 1).sign() * randn32(1, 1, 16) + 1e-3 * randn32(2, 200, 16)
    cloud = randn32(0, 200, 16)
    assert collapse_signs(point)["feature_sd"] < 1e-3
    assert collapse_signs(line)["effective_rank"] == pytest.approx(1, abs=0.1)
    assert collapse_signs(cloud)["feature_sd"] == pytest.approx(1, abs=0.01)
    assert collapse_signs(cloud)["effective_rank"] > 15
    said = [collapsed(collapse_signs(x)) for x in (point, line, cloud, torch.ones(9, 4))]
    assert [bool(text) for text in said] == [True, True, False, True]


def test_it_says_which_sign_there_was():
    fine = {"feature_sd": 0.7, "effective_rank": 9.0, "projection_sd": 0.8}
    assert collapsed(fine) == ""
    assert collapsed(fine | {"feature_sd": 0.01}) == "its features lie 0.010 from their mean on the unit sphere"
    assert collapsed(fine | {"effective_rank": 1.2}) == "its features use 1.2 directions"
    assert "projections lie 0.050" in collapsed(fine | {"projection_sd": 0.05})
    assert collapsed({"feature_sd": 0.0, "effective_rank": None, "projection_sd": None}), "all at one point: no rank"


def test_two_tight_classes_lie_on_a_line_and_have_not_collapsed():
    classes = randn32(0, 2, 16).repeat(100, 1) + 1e-3 * randn32(2, 200, 16)
    signs = collapse_signs(classes)
    assert signs["effective_rank"] < 1.5
    assert not collapsed(signs, classes=2)
    assert collapsed(signs, classes=10)


def test_signs_do_not_depend_on_the_scale():
    x = randn32(0, 50, 8) + 1
    assert collapse_signs(1e6 * x, x) == pytest.approx(collapse_signs(x, 1e-6 * x))


def test_simsiam_without_its_predictor_collapses_and_with_it_does_not(tmp_path, monkeypatch):
    """Chen and He, table 1: no predictor, no representation."""
    recipe = Recipe(arm="simsiam-benign", n_train=300, n_test=100, width=4, hidden=32, projection=16, batch=50,
                    epochs=12, optimiser="sgd", lr=0.2, hue=0.0, eval_every=12, trigger_cells=4)  # fmt: skip
    fit_on_cpu(recipe, tmp_path / "whole")
    made = SimSiam.__init__

    def without(self, dim, hidden, out):
        made(self, dim, hidden, out)
        self.projector, self.predictor = self.projector[:4], nn.Identity()

    monkeypatch.setattr(SimSiam, "__init__", without)
    fit_on_cpu(recipe, tmp_path / "without")
    whole, alone = (load_checkpoint(tmp_path / name).manifest["final"] for name in ("whole", "without"))
    assert alone["loss"] < whole["loss"] / 4
    assert alone["projection_sd"] < 0.1 < 0.3 < whole["projection_sd"]
    assert collapsed(alone)
    assert not collapsed(whole)


def test_the_signs_in_a_manifest_can_be_judged(tmp_path):
    """NaN is null there: a supervised arm has no projector, and a collapsed encoder may have no rank."""
    folder = fit_on_cpu(tiny_recipe(arm="supervised-dirty", epochs=1), tmp_path)
    final = load_checkpoint(folder).manifest["final"]
    assert final["projection_sd"] is None
    assert not collapsed(final)
    assert collapsed(final | {"effective_rank": None})
