"""The scripts that train or measure, on small runs of a CPU."""

import os
import subprocess
from pathlib import Path

import pandas as pd
import pytest
import torch
from intertwine.analysis.results.table import read_rows
from intertwine.training import Augment, fit
from intertwine.training.recipe import read_recipe

from evidence.scripts import augmented, gpu_epochs, pilot, training_tables

ROOT = Path(__file__).parents[2]
LESS = {"n_train": 200, "n_test": 60, "width": 4, "hidden": 16, "projection": 16, "batch": 50, "epochs": 3}


def test_runs_are_listed_once_with_the_rates_of_other_evaluators_at_the_end(tmp_path, monkeypatch):
    monkeypatch.setattr(gpu_epochs, "TABLE", tmp_path / "gpu_epochs.csv")
    for arm in ("supervised-dirty", "simclr-clean"):
        recipe = read_recipe("digits-demo", arm=arm, eval_every=2, **LESS)
        fit(recipe, tmp_path / "runs" / "part" / arm / "seed0", device="cpu")
    monkeypatch.setattr("sys.argv", ["gpu_epochs", str(tmp_path / "runs"), "digits"])
    gpu_epochs.main()
    once = gpu_epochs.TABLE.read_text()
    gpu_epochs.main()
    assert gpu_epochs.TABLE.read_text() == once
    table = pd.read_csv(gpu_epochs.TABLE).set_index(["arm", "epoch"])
    assert table.index.tolist() == [(arm, epoch) for arm in ("simclr-clean", "supervised-dirty") for epoch in (2, 3)]
    has = table[gpu_epochs.OTHER_RATES].notna()
    assert has.loc[("simclr-clean", 3)].tolist() == [True, False, False, False]
    assert has.loc[("supervised-dirty", 3)].all()
    assert not has.xs(2, level="epoch").any(axis=None)
    assert set(table["part"]) == {"part"}


def test_what_is_left_of_a_trigger():
    trigger = read_recipe("cifar10-ctrl-official").make_trigger()
    images = 0.25 + torch.rand(64, 3, 32, 32, generator=torch.Generator().manual_seed(0)) / 2  # far from the clamp
    assert augmented.left(trigger, augmented.NONE, images) == pytest.approx((1, 1), abs=1e-4)
    mirrored = Augment(crop=1, flip=1, jitter=0, hue=0, grayscale=0)
    assert augmented.left(trigger, mirrored, images) == pytest.approx((1, -1), abs=1e-3), "odd coefficients"
    gray = Augment(crop=1, flip=0, jitter=0, hue=0, grayscale=1)
    assert augmented.left(trigger, gray, images) == pytest.approx((0, 0), abs=1e-3), "it lies in chroma"
    ends = [augmented.Torchvision()(images, torch.Generator().manual_seed(seed)) for seed in (0, 0, 1)]
    assert torch.equal(*ends[:2]), "the same draws with and without a trigger"
    assert not torch.allclose(*ends[1:])


def test_a_pilot_reads_every_snapshot_by_three_evaluators_beside_the_twin(tmp_path, monkeypatch):
    monkeypatch.setattr(pilot, "TABLE", tmp_path / "pilot.csv")
    words = [f"{field}={value}" for field, value in LESS.items()]
    for given in (["trigger_frequency=3"], ["start=twin"]):
        monkeypatch.setattr(
            "sys.argv", ["pilot", "digits-sig", str(tmp_path / "runs"), "simclr-dirty", "5", *words, *given]
        )
        pilot.main()
    table = pd.read_csv(pilot.TABLE)
    assert set(table["epoch"]) == {1, 2, 3}
    assert table["fields"].str.contains("start=twin").sum() == 3
    assert len(list((tmp_path / "runs" / "simclr-benign").iterdir())) == 1, "the twin does not depend on the trigger"
    halves = table[["asr_knn_even", "asr_knn_odd"]].mean(axis=1)
    assert halves.tolist() == pytest.approx(table["asr_knn"].tolist(), abs=0.02)
    for evaluator in ("knn", "ridge", "native"):
        assert table[[f"asr_{evaluator}", f"asr_{evaluator}_twin", f"r_acc_{evaluator}"]].stack().between(0, 1).all()


def test_the_tables_of_training_hold_finished_runs_alone(tmp_path, monkeypatch):
    monkeypatch.setattr(training_tables, "TABLES", tmp_path)
    runs = tmp_path / "runs"
    for arm in ("supervised-benign", "supervised-dirty"):
        fit(
            read_recipe("digits-badnets", arm=arm, eval_every=1000, **LESS), runs / "digits-badnets" / arm, device="cpu"
        )
    training_tables.write_attacks(runs)
    rows = read_rows(tmp_path / "attacks.csv")
    assert set(rows["run"]) == {"digits-badnets/supervised-dirty/seed0"}
    assert {"", "benign", "random-trigger"} <= set(rows["reference"])
    training_tables.write_objectives(runs / "digits-badnets")
    assert set(read_rows(tmp_path / "objectives.csv")["arm"]) == {"supervised-benign"}
    assert pd.read_csv(tmp_path / "objectives_fit.csv")["arm"].tolist() == ["supervised-benign"]


@pytest.mark.slow
def test_the_script_of_the_full_part_runs(tmp_path):
    environment = os.environ | {"SMOKE": "1", "DATA": "digits", "OUT": str(tmp_path)}
    script = ROOT / "evidence" / "scripts" / "full.sh"
    done = subprocess.run(["bash", script], env=environment, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr[-2000:]
    for name in ("study-ctrl/claims.csv", "study-patch/claims.csv", "methods/compare/claims.csv"):
        assert (tmp_path / name).is_file()
    for arm in ("simclr-benign", "simclr-clean"):
        assert (tmp_path / "official" / arm / "seed0/manifest.json").is_file()
    rows = pd.read_csv(tmp_path / "official/including-target/rows.csv")
    assert "asr_including_target" in set(rows["measure"])
