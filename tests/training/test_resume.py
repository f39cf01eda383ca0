"""A run that was cut short anywhere ends with the bits of one that was not, and never with those of another run."""

import os
import random
import time

import pytest
import torch
from intertwine.checkpoints import load_checkpoint
from intertwine.training import Augment

from tests.training.resumed import RUNS, Stop, content, cut_short, fit, recipe

pytestmark = pytest.mark.usefixtures("one_thread")

# --- the same bits


def test_two_runs_are_bit_identical(tmp_path, whole):
    """Of one arm; the test of interruptions below compares two runs of every other."""
    expected = whole("simclr-clean, adam")
    torch.manual_seed(12345)
    random.seed(1)
    fit(recipe(arm="simclr-clean"), tmp_path)
    assert content(tmp_path) == expected


def test_runs_with_different_seeds_differ(tmp_path, whole):
    expected = whole("simclr-clean, adam")
    fit(recipe(arm="simclr-clean", seed=4), tmp_path)
    changed = {name for name, digest in content(tmp_path).items() if expected[name] != digest}
    assert changed == set(expected)


@pytest.mark.parametrize("name", RUNS)
def test_a_run_interrupted_after_every_epoch_ends_with_the_same_bits(tmp_path, whole, name):
    for epoch in (1, 2):
        torch.manual_seed(epoch)
        cut_short(tmp_path, epoch, **RUNS[name])
    done = []
    fit(recipe(**RUNS[name]), tmp_path, on_epoch=lambda epoch, total, row: done.append(epoch))
    assert done == [], "nothing was left to train"
    assert content(tmp_path) == whole(name)


@pytest.mark.parametrize("call", [0, 5, 13, 23])
def test_an_interrupt_in_the_middle_of_an_epoch_is_as_if_it_had_not_begun(tmp_path, monkeypatch, whole, call):
    """Ctrl-C in the n-th augmentation; an epoch of this run has eight, and as many to read the rank of the losses."""
    left = [call]
    augment = Augment.apply

    def breaking(this, images, drawn):
        if not left[0]:
            raise KeyboardInterrupt
        left[0] -= 1
        return augment(this, images, drawn)

    monkeypatch.setattr(Augment, "apply", breaking)
    with pytest.raises(KeyboardInterrupt):
        fit(recipe(arm="simclr-clean"), tmp_path)
    monkeypatch.undo()
    done = []
    fit(recipe(arm="simclr-clean"), tmp_path, on_epoch=lambda epoch, total, row: done.append(epoch))
    assert done == list(range(call // 16 + 1, 3)), "no finished epoch is trained again"
    assert content(tmp_path) == whole("simclr-clean, adam")


@pytest.mark.parametrize("call", range(9))
def test_a_full_disk_at_any_write_leaves_a_run_that_can_go_on(tmp_path, monkeypatch, whole, call):
    """The n-th rename fails: initial snapshot, (snapshot, state) an epoch, encoder, head, history, manifest."""
    left = [call]
    replace = os.replace

    def failing(source, target, **options):
        if not left[0]:
            raise OSError(28, "No space left on device")
        left[0] -= 1
        return replace(source, target, **options)

    monkeypatch.setattr(os, "replace", failing)
    with pytest.raises(OSError, match="No space left"):
        fit(recipe(**RUNS["supervised-dirty, sgd"]), tmp_path)
    monkeypatch.undo()
    assert not (tmp_path / "manifest.json").exists()
    assert not [p.name for p in tmp_path.rglob(".*")], "nothing half-written"
    fit(recipe(**RUNS["supervised-dirty, sgd"]), tmp_path)
    assert content(tmp_path) == whole("supervised-dirty, sgd")


def test_the_history_of_a_resumed_run_has_every_epoch_once(tmp_path):
    cut_short(tmp_path, 2, arm="supervised-benign", epochs=3)
    rows = []
    fit(
        recipe(arm="supervised-benign", epochs=3),
        tmp_path,
        on_epoch=lambda done, total, row: rows.append((done, total)),
    )
    assert rows == [(3, 3)]
    lines = (tmp_path / "history.csv").read_text().splitlines()
    assert [line.split(",")[0] for line in lines] == ["epoch", "1", "2", "3"]


def test_time_spent_before_the_interruption_counts(tmp_path):
    def slow(done, total, row):
        if done == 1:
            time.sleep(0.3)
        if done == 2:
            raise Stop

    with pytest.raises(Stop):
        fit(recipe(arm="supervised-benign", epochs=3), tmp_path, on_epoch=slow)
    fit(recipe(arm="supervised-benign", epochs=3), tmp_path)
    assert load_checkpoint(tmp_path).manifest["seconds"]["wall"] > 0.3


# --- folders that were used before


def test_snapshots_of_an_earlier_run_do_not_stay(tmp_path):
    """As the message about a damaged state says, it was removed; the shorter run must not inherit its snapshots."""
    cut_short(tmp_path, 4, arm="supervised-benign", epochs=5, width=5)
    (tmp_path / "resume.pt").unlink()
    fit(recipe(arm="supervised-benign", epochs=2), tmp_path)
    names = sorted(p.name for p in (tmp_path / "snapshots").iterdir())
    assert names == [f"epoch-000{i}.safetensors" for i in (0, 1, 2)]
