"""Runs that are cut short, and what makes two runs the same run."""

import atexit
import functools
import hashlib
import json
import shutil
import tempfile
from pathlib import Path

import pytest
from intertwine.training import Recipe

from tests.factories import fit_on_cpu, tiny_recipe

RUNS = {
    "supervised-dirty, sgd": {"arm": "supervised-dirty", "optimiser": "sgd"},
    "supcon-clean, adam": {"arm": "supcon-clean", "optimiser": "adam"},
    "simclr-clean, adam": {"arm": "simclr-clean", "optimiser": "adam"},
    "simclr-clean, sgd": {"arm": "simclr-clean", "optimiser": "sgd"},
}
# With a slow copy, its schedule, a queue that has come round, or no loss an image.
RUNS |= {arm: {"arm": arm, "queue": 70, "ema": 0.9} for arm in ("byol-clean", "simsiam-clean", "moco-clean")}
RUNS |= {"barlow-clean": {"arm": "barlow-clean"}, "badencoder": {"arm": "badencoder"}}
RUNS |= {"simclr-dirty": {"arm": "simclr-dirty", "pair_share": 0.5}}
RUNS |= {"loss scaler": {"arm": "simclr-clean", "precision": "fp16"}}


def recipe(**changes) -> Recipe:
    return tiny_recipe(**{"attack_epochs": 2, "attack_lr": 1e-2} | changes)


@functools.cache
def clean_encoder() -> Path:
    """What a model attack begins with."""
    folder = Path(tempfile.mkdtemp())
    atexit.register(shutil.rmtree, folder)
    return fit_on_cpu(recipe(arm="simclr-benign", epochs=1), folder)


def fit(recipe: Recipe, folder: Path, **options) -> Path:
    return fit_on_cpu(recipe, folder, start=clean_encoder() if recipe.arm == "badencoder" else None, **options)


def content(folder: Path) -> dict[str, str]:
    """Every file but what measures time, and the commit, which may move while the tests run: two runs are the same run
    if these are equal."""
    found = {}
    for path in sorted(folder.rglob("*")):
        data = path.read_bytes() if path.is_file() else b""
        if path.name == "manifest.json":
            values = json.loads(data)
            assert set(values.pop("seconds")) == {"wall", "cpu"}
            del values["sha256"]  # of the whole manifest, times included
            del values["provenance"]["commit"]
            data = json.dumps(values).encode()
        if path.is_file():
            found[str(path.relative_to(folder))] = hashlib.sha256(data).hexdigest()
    return found


class Stop(Exception):
    """Stands for whatever ends a process in the middle."""


def stop_after(epoch: int):
    def on_epoch(done, total, row):
        if done == epoch:
            raise Stop

    return on_epoch


def cut_short(folder: Path, epoch: int = 1, **changes) -> Path:
    """A run that ended after this epoch: its state is there, and no manifest."""
    with pytest.raises(Stop):
        fit(recipe(**changes), folder, on_epoch=stop_after(epoch))
    assert (folder / "resume.pt").is_file()
    assert not (folder / "manifest.json").exists()
    return folder
