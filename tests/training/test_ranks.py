"""Two processes under torchrun learn what one would: losses, gradients, files."""

import json
import subprocess
import sys
from pathlib import Path

import pytest
import torch
from intertwine.checkpoints.store import load_checkpoint
from intertwine.representations.encoders import build_encoder
from intertwine.representations.errors import InputError
from intertwine.training import fit, loop
from intertwine.training.arms import ARMS
from intertwine.training.experiment import prepare
from intertwine.training.loop import Training
from intertwine.training.recipe import Recipe

from tests.factories import case, tiny_recipe
from tests.training.ranks_worker import DONE, one_step

FAST = {"optimiser": "sgd", "lr": 0.1}
LEARNERS = sorted({arm.learner for arm in ARMS.values()})
POISONED = {arm.learner: name for name, arm in ARMS.items() if arm.is_poisoned}


def settings(learner: str, **changes) -> dict:
    fields = {"arm": POISONED[learner], "batch": 40, "attack_epochs": 2, "queue": 64, "seed": 1, "lr": 2e-3}
    return tiny_recipe(**fields | changes).to_dict()


@pytest.fixture(scope="module")
def together(tmp_path_factory) -> Path:
    """What two processes made of every job of this file: one start of torchrun for all."""
    out = tmp_path_factory.mktemp("ranks")
    steps = {f"{learner}-synced": settings(learner, sync_batchnorm=True) for learner in LEARNERS}
    steps |= {f"{learner}-apart": settings(learner) for learner in LEARNERS}
    steps["pairs"] = settings("simclr", arm="simclr-dirty", pair_share=0.5, sync_batchnorm=True)
    steps["one-coin"] = settings("simclr", sync_batchnorm=True, jitter_coin="batch", jitter_p=0.5)
    synced = settings("moco", sync_batchnorm=True, **FAST)
    fits = {"synced": synced, "apart": settings("supervised"), "cut": synced}
    fits |= {p: settings("moco", sync_batchnorm=True, precision=p) for p in ("bf16", "fp16")}
    job = {"out": str(out), "steps": steps, "fits": fits, "fits apart": {"elsewhere": synced}}
    tiny = {"n_train": 200, "n_test": 100, "image_size": 8, "trigger_cells": 2, "width": 4, "epochs": 1, "batch": 40}
    fields = [word for key, value in tiny.items() for word in (f"--{key.replace('_', '-')}", str(value))]
    job["command"] = ["train", "digits-demo", "--out", str(out / "by command"), *fields]
    job["cut short"] = {"cut": synced, "elsewhere.rank0": synced}
    (out / "job.json").write_text(json.dumps(job))
    command = ["-m", "torch.distributed.run", "--standalone", "--nproc-per-node=2"]
    command += [str(Path(__file__).with_name("ranks_worker.py")), str(out / "job.json")]
    done = subprocess.run([sys.executable, *command], capture_output=True, text=True, timeout=300)
    before, done_by_both, after = done.stderr.rpartition(DONE)
    assert done_by_both, done.stderr[-3000:]
    assert "Warning" not in before
    assert done.returncode, "the last job cannot be done"
    (out / "stderr.txt").write_text(after)
    return out


def assert_same(found: dict, expected: dict) -> None:
    assert found.keys() == expected.keys()
    for name, value in expected.items():
        scale = float(value.abs().max())
        torch.testing.assert_close(
            found[name], value, atol=1e-5 * scale + 1e-6, rtol=1e-4, msg=lambda m, n=name: f"{n}: {m}"
        )


@pytest.mark.parametrize("learner", LEARNERS)
def test_with_shared_batchnorm_they_are_one_process(together, learner):
    expected = one_step(Recipe.from_dict(settings(learner)), None)
    assert len(expected) > 20
    for rank in (0, 1):
        assert_same(torch.load(together / f"{learner}-synced.rank{rank}.pt", weights_only=True), expected)


def test_one_coin_is_one_for_all_processes_and_so_are_changed_pairs(together):
    for name, changes in (
        ("one-coin", {"jitter_coin": "batch", "jitter_p": 0.5}),
        ("pairs", {"arm": "simclr-dirty", "pair_share": 0.5}),
    ):
        with case(name):
            expected = one_step(Recipe.from_dict(settings("simclr", **changes)), None)
            assert_same(torch.load(together / f"{name}.rank1.pt", weights_only=True), expected)


@pytest.mark.parametrize("learner", LEARNERS)
def test_without_it_they_are_one_process_that_normalises_each_half_alone(together, monkeypatch, learner):
    """Negatives, correlations and the heads' BatchNorm still see the whole batch."""
    training = Training(prepare(Recipe.from_dict(settings(learner))), torch.device("cpu"))
    training.encoder.train(not training.attacks_model)
    monkeypatch.setattr(loop, "world_size", lambda: 2)
    index, parts, slow_parts = torch.arange(40), [], []
    for rank in (0, 1):
        monkeypatch.setattr(loop, "rank", lambda rank=rank: rank)
        views = training._views(training._read(index.chunk(2)[rank]), index, 1, 0)
        parts.append(training.encoder(views).view(training.views, 20, -1))
        if (slow := getattr(training.objective, "slow", None)) is not None:
            slow_parts.append(slow.encoder(views).view(training.views, 20, -1).detach())
    slow_views = [torch.cat(slow_parts, 1)] if slow_parts else []
    loss = training.objective(torch.cat(parts, 1), training.labels[index], *slow_views)
    loss.total.backward()
    found = torch.load(together / f"{learner}-apart.rank0.pt", weights_only=True)
    expected = {"loss": loss.total.detach()} | {
        f"{part}.{name}": p.grad
        for part, module in (("encoder", training.encoder), ("objective", training.objective))
        for name, p in module.named_parameters()
        if p.grad is not None
    }
    assert_same({name: found[name] for name in expected}, expected)
    monkeypatch.undo()
    if learner != "badencoder":  # whose BatchNorm stands still
        whole = one_step(Recipe.from_dict(settings(learner)), None)
        assert not torch.allclose(found["loss"], whole["loss"], rtol=1e-4), "the halves differ, or this tests nothing"


def test_a_run_of_two_processes_is_a_run(together, tmp_path):
    alone = load_checkpoint(fit(Recipe.from_dict(settings("moco", **FAST)), tmp_path, device="cpu"))
    both = load_checkpoint(together / "synced")
    assert both.manifest["identity"]["processes"] == 2
    assert both.manifest["final"]["images_seen"] == alone.manifest["final"]["images_seen"]
    assert both.manifest["final"]["loss"] == pytest.approx(alone.manifest["final"]["loss"], rel=1e-3)
    moved = build_encoder(alone.encoder.spec, seed=1).backbone.state_dict()["conv1.weight"]
    for name, value in alone.encoder.state_dict().items():
        torch.testing.assert_close(both.encoder.state_dict()[name], value, atol=1e-4, rtol=1e-3, msg=name)
    assert (alone.encoder.backbone.state_dict()["conv1.weight"] - moved).abs().max() > 1e-2, "it has learned"
    with pytest.raises(InputError, match="processes was 2 and is 1"):
        fit(Recipe.from_dict(settings("moco", sync_batchnorm=True, **FAST)), together / "synced", device="cpu")
    for name in ("apart", "bf16", "fp16"):
        final = load_checkpoint(together / name).manifest["final"]
        assert 0 < final["loss"] < 10, name
        assert not (together / name / "resume.pt").exists()


def test_a_run_of_two_processes_is_continued(together):
    """Cut short after one epoch, it ends as the one that was not."""
    cut, whole = (load_checkpoint(together / name) for name in ("cut", "synced"))
    for name, value in whole.encoder.state_dict().items():
        torch.testing.assert_close(cut.encoder.state_dict()[name], value, msg=name)


def test_processes_that_do_not_share_a_folder_are_told_so(together):
    """The first would go on where it was, the others would begin: not a run."""
    expected = "out: expected a folder that all processes share, received another"
    assert expected in (together / "stderr.txt").read_text()
    assert (together / "elsewhere.rank0" / "resume.pt").is_file()
    assert not (together / "elsewhere.rank0" / "manifest.json").exists()


def test_the_command_line_under_torchrun(together):
    """One run, one report."""
    first, second = ((together / f"printed.rank{rank}.txt").read_text() for rank in (0, 1))
    assert first.count("ACC ") == first.count("Wrote:") == 1
    assert second == ""
    assert load_checkpoint(together / "by command").manifest["identity"]["processes"] == 2


def test_a_batch_that_cannot_be_shared_is_refused(monkeypatch, tmp_path):
    monkeypatch.setenv("TORCHELASTIC_RUN_ID", "x")
    monkeypatch.setenv("WORLD_SIZE", "3")
    monkeypatch.setenv("RANK", "0")
    with pytest.raises(InputError, match="batch: expected a multiple of the 3 processes, received 40"):
        fit(Recipe.from_dict(settings("moco")), tmp_path, device="cpu")
