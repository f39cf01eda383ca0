"""Training may begin with a finished run's encoder or with a foreign one."""

import pytest
import torch
from intertwine.checkpoints import load_checkpoint, load_snapshot
from intertwine.representations.encoders import EncoderSpec, build_encoder
from intertwine.representations.errors import InputError
from intertwine.training.start import read_start

from tests.factories import case, fit_on_cpu, tiny_recipe

THIN = {"arch": "resnet20", "width": 16, "image_size": 8, "trigger_cells": 2, "n_train": 100, "epochs": 1, "batch": 50}


def akamaster(seed: int = 0) -> dict:
    """A file as akamaster/pytorch_resnet_cifar10 writes it: DataParallel, a linear head, shortcuts without weights."""
    state = build_encoder(EncoderSpec("resnet20", 16, 32), seed=seed).backbone.state_dict()
    head = {"linear.weight": torch.zeros(10, 64), "linear.bias": torch.zeros(10)}
    return {"state_dict": {f"module.{name}": x for name, x in (state | head).items()}, "best_prec1": 92.0}


@pytest.mark.parametrize("arm", ["supervised-dirty", "simclr-clean", "moco-dirty"])
def test_every_arm_can_begin_with_the_encoder_of_a_run(tmp_path, arm):
    start = fit_on_cpu(tiny_recipe(arm="simclr-benign", seed=8), tmp_path / "start")
    run = fit_on_cpu(tiny_recipe(arm=arm), tmp_path / "run", start=start)
    begun = load_snapshot(load_checkpoint(run), 0)[0].state_dict()
    given = load_checkpoint(start).encoder.state_dict()
    assert all(torch.equal(begun[name], value) for name, value in given.items())
    alone = fit_on_cpu(tiny_recipe(arm=arm), tmp_path / "alone")
    hashes = [load_checkpoint(folder).manifest["run_hash"] for folder in (run, alone)]
    assert hashes[0] != hashes[1]


def test_a_slow_copy_begins_with_the_same_weights(tmp_path):
    start = fit_on_cpu(tiny_recipe(arm="simclr-benign", seed=8), tmp_path / "start")
    encoder, _ = read_start(start, tiny_recipe(arm="moco-clean"))
    assert encoder.training
    assert torch.equal(encoder.backbone.conv1.weight, load_checkpoint(start).encoder.backbone.conv1.weight)


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
    start = fit_on_cpu(tiny_recipe(arm="simclr-benign"), tmp_path / "start")
    for recipe, given, message in (
        (tiny_recipe(arm="simclr-clean"), path, "start: expected an encoder of .*resnet8.*received resnet20"),
        (tiny_recipe(arm="simclr-clean", width=6), start, "start: expected an encoder of .*width=6.*received"),
        (tiny_recipe(arm="simclr-clean"), tmp_path / "nowhere", "checkpoint: expected a folder"),
    ):
        with case(message), pytest.raises(InputError, match=message):
            fit_on_cpu(recipe, tmp_path / "run", start=given)
    assert not (tmp_path / "run").exists()
