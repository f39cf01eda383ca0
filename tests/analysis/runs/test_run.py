"""Runs on disk: found, loaded with their data, and refused where they are none."""

from dataclasses import replace

import pytest
import torch
from intertwine.analysis.runs.run import about_run, find_runs, load_run, native_head
from intertwine.checkpoints.manifest import OF_FOLDER
from intertwine.checkpoints.store import save_checkpoint
from intertwine.representations.errors import InputError
from intertwine.training.poison import PoisonPlan

from tests.factories import trained


def test_a_run_is_labelled_by_what_it_is(small_pair):
    label = small_pair[0].label
    assert (label.run, label.arm, label.seed, label.epoch) == ("supervised-dirty/seed0", "supervised-dirty", 0, 2)
    assert label.recipe == "small"
    assert small_pair[0].experiment.plan.hash.startswith(label.plan)
    assert len(label.plan) == 8


def test_finished_runs_are_found_below_any_folder(small_runs, tmp_path):
    both = [small_runs / arm / "seed0" for arm in ("supervised-benign", "supervised-dirty")]
    assert find_runs([small_runs]) == both
    assert find_runs([both[1], str(small_runs)]) == both[::-1], "each once, in the order of the paths"
    with pytest.raises(InputError, match=r"run: expected a folder or zoo:NAME, received .* which is neither"):
        find_runs([tmp_path / "none"])
    with pytest.raises(InputError, match=r"run: expected a finished run at or below .* found none"):
        find_runs([tmp_path])


def saved_again(run, folder, **change):
    """The run under a manifest in which fields are other ones, or gone."""
    about = {key: value for key, value in run.checkpoint.manifest.items() if key not in OF_FOLDER}
    about = {key: value for key, value in (about | change).items() if value is not None}
    save_checkpoint(folder, run.encoder, run.checkpoint.head, about, "epoch\n")
    return folder


def test_data_must_be_what_it_was_trained_on(small_pair, tmp_path):
    run = small_pair[0]
    plan = replace(PoisonPlan.from_dict(run.checkpoint.manifest["plan"]), data="0" * 64).to_dict()
    with pytest.raises(InputError, match=r"data: 'digits' is not what .* was trained on: expected fingerprint 0000000"):
        load_run(saved_again(run, tmp_path / "seed0", plan=plan), device="cpu")


def test_what_is_no_run_of_ours_is_refused(small_pair, tmp_path):
    for key in ("arm", "seed", "recipe", "plan", "final"):
        folder = saved_again(small_pair[0], tmp_path / key, **{key: None})
        with pytest.raises(InputError, match=f"has no {key} in its manifest: not a run of intertwine's"):
            about_run(folder)
    folder = saved_again(small_pair[0], tmp_path / "other", arm="simclr-mixed")
    with pytest.raises(InputError, match=r"expected an arm of supervised-benign, .* received 'simclr-mixed'"):
        about_run(folder)


def test_the_native_head_is_the_classifier_of_supervised_arms(small_pair, tmp_path):
    run = small_pair[0]
    logits = native_head(run)
    features = torch.randn(5, run.encoder.dim, generator=torch.Generator().manual_seed(0))
    assert logits(features).shape == (5, 10)
    unlabelled = load_run(trained(tmp_path / "seed0", "simclr-clean", epochs=1), device="cpu")
    linear = native_head(unlabelled)
    assert linear(torch.randn(5, unlabelled.encoder.dim)).shape == (5, 10)
    cut = {name: x[:2] if x.ndim else x for name, x in run.checkpoint.head.items()}
    with pytest.raises(InputError, match="its head does not fit"):
        native_head(replace(run, checkpoint=replace(run.checkpoint, head=cut)))
