"""Training may begin with a finished run's encoder or with a foreign one."""

from functools import partial

import pytest
import torch
from intertwine.analysis.runs.run import about_run, load_run
from intertwine.analysis.runs.twins import benign_twin_of, must_be_benign_twin
from intertwine.checkpoints import load_checkpoint, load_snapshot
from intertwine.representations.encoders import EncoderSpec, build_encoder
from intertwine.representations.errors import InputError
from intertwine.training import Recipe, start
from intertwine.training.experiment import prepare
from intertwine.training.loop import Training
from intertwine.training.start import read_start
from safetensors.torch import save_file

from tests.factories import case, fit_on_cpu, tiny_recipe

THIN = {"arch": "resnet20", "width": 16, "image_size": 8, "trigger_cells": 2, "n_train": 100, "epochs": 1, "batch": 50}


def akamaster(seed: int = 0) -> dict:
    """A file as akamaster/pytorch_resnet_cifar10 writes it: DataParallel, a linear head, shortcuts without weights."""
    state = build_encoder(EncoderSpec("resnet20", 16, 32), seed=seed).backbone.state_dict()
    head = {"linear.weight": torch.zeros(10, 64), "linear.bias": torch.zeros(10)}
    return {"state_dict": {f"module.{name}": x for name, x in (state | head).items()}, "best_prec1": 92.0}


@pytest.mark.parametrize("arm", ["supervised-dirty", "simclr-clean", "moco-dirty"])
def test_every_arm_can_begin_with_the_encoder_of_a_run(tmp_path, arm):
    begun_with = fit_on_cpu(tiny_recipe(arm="simclr-benign", seed=8), tmp_path / "start")
    run = fit_on_cpu(tiny_recipe(arm=arm), tmp_path / "run", start=begun_with)
    begun = load_snapshot(load_checkpoint(run), 0)[0].state_dict()
    given = load_checkpoint(begun_with).encoder.state_dict()
    assert all(torch.equal(begun[name], value) for name, value in given.items())
    alone = fit_on_cpu(tiny_recipe(arm=arm), tmp_path / "alone")
    hashes = [load_checkpoint(folder).manifest["run_hash"] for folder in (run, alone)]
    assert hashes[0] != hashes[1]


def test_a_slow_copy_begins_with_the_same_weights(tmp_path):
    begun_with = fit_on_cpu(tiny_recipe(arm="simclr-benign", seed=8), tmp_path / "start")
    recipe = tiny_recipe(arm="moco-clean")
    training = Training(prepare(recipe), torch.device("cpu"), read_start(begun_with, recipe)[0])
    slow, given = training.objective.slow_encoder().state_dict(), load_checkpoint(begun_with).encoder.state_dict()
    assert all(torch.equal(slow[name], value) for name, value in given.items())


def test_a_start_may_itself_have_begun_with_a_foreign_encoder(tmp_path):
    torch.save(akamaster(), tmp_path / "resnet20.th")
    first = fit_on_cpu(tiny_recipe(arm="simclr-benign", **THIN), tmp_path / "first", start=tmp_path / "resnet20.th")
    second = fit_on_cpu(tiny_recipe(arm="simclr-clean", **THIN), tmp_path / "second", start=first)
    assert load_checkpoint(second).encoder.spec == load_checkpoint(first).encoder.spec


def test_a_network_of_the_same_weights_that_computes_something_else_is_refused(tmp_path, monkeypatch):
    """solo-learn pads the stem of its ResNet-18 by two pixels: the same names and shapes."""
    state = build_encoder(EncoderSpec("resnet18", 64, 32)).backbone.state_dict()
    save_file(state, tmp_path / "net.safetensors")
    recipe = Recipe(arch="resnet18", width=64, image_size=32)
    read_start(tmp_path / "net.safetensors", recipe)
    padded = partial(start.load_foreign, arch="resnet18-cifar-pad2")
    monkeypatch.setattr(start, "load_foreign", padded)
    with pytest.raises(InputError, match=r"start: expected an encoder of .*, received resnet18-cifar-pad2"):
        read_start(tmp_path / "net.safetensors", recipe)


def test_the_twin_of_a_started_run_began_alike_or_is_the_start(tmp_path):
    begun_with = fit_on_cpu(tiny_recipe(arm="simclr-benign"), tmp_path / "start")
    alone = fit_on_cpu(tiny_recipe(arm="simclr-clean"), tmp_path / "alone")
    run = fit_on_cpu(tiny_recipe(arm="simclr-clean"), tmp_path / "run", start=begun_with)
    other = fit_on_cpu(tiny_recipe(arm="supervised-benign"), tmp_path / "other")
    elsewhere = fit_on_cpu(tiny_recipe(arm="simclr-clean"), tmp_path / "elsewhere", start=other)
    about = {folder: about_run(folder) for folder in (begun_with, alone, run, elsewhere)}
    assert [benign_twin_of(folder, about) for folder in (alone, run, elsewhere)] == [begun_with, begun_with, None]
    with pytest.raises(
        InputError,
        match="benign twin: expected one that began, like simclr-clean/seed3, with the encoder",
    ):
        must_be_benign_twin(load_run(elsewhere, device="cpu"), load_run(begun_with, device="cpu"))


def test_a_foreign_encoder_keeps_its_normalisation_in_the_run(tmp_path):
    path, given = tmp_path / "resnet20.th", akamaster()
    torch.save(given, path)
    run = fit_on_cpu(tiny_recipe(arm="simclr-clean", **THIN), tmp_path / "run", start=path)
    stored = load_checkpoint(run)
    assert stored.encoder.spec.mean == (0.485, 0.456, 0.406)
    begun = load_snapshot(stored, 0)[0].backbone.state_dict()
    assert all(
        torch.equal(begun[name.removeprefix("module.")], x)
        for name, x in given["state_dict"].items()
        if "linear" not in name
    )


def test_what_does_not_fit_is_refused_before_anything_is_written(tmp_path):
    path = tmp_path / "resnet20.th"
    torch.save(akamaster(), path)
    begun_with = fit_on_cpu(tiny_recipe(arm="simclr-benign"), tmp_path / "start")
    for recipe, given, message in (
        (tiny_recipe(arm="simclr-clean"), path, "start: expected an encoder of .*resnet8.*received resnet20"),
        (tiny_recipe(arm="simclr-clean", width=6), begun_with, "start: expected an encoder of .*width=6.*received"),
        (tiny_recipe(arm="simclr-clean"), tmp_path / "nowhere", "start: expected the folder of a run or a checkpoint"),
    ):
        with case(message), pytest.raises(InputError, match=message):
            fit_on_cpu(recipe, tmp_path / "run", start=given)
    assert not (tmp_path / "run").exists()
