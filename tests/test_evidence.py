"""The scripts of docs/evidence that tell of runs on a GPU, on small runs of a CPU."""

import importlib
from pathlib import Path

import pandas as pd
import pytest
import torch
from intertwine.training import Augment, fit
from intertwine.training.recipe import read_recipe

FOLDER = Path(__file__).parents[1] / "docs" / "evidence"
LESS = {"n_train": 200, "n_test": 60, "width": 4, "hidden": 16, "projection": 16, "batch": 50, "epochs": 3}


@pytest.fixture
def script(monkeypatch):
    monkeypatch.syspath_prepend(FOLDER)
    return importlib.import_module


def test_runs_are_told_once_with_the_rates_of_other_evaluators_at_the_end(script, tmp_path, monkeypatch):
    full = script("full")
    monkeypatch.setattr(full, "TABLE", tmp_path / "full.csv")
    for arm in ("supervised-dirty", "simclr-clean"):
        recipe = read_recipe("digits-demo", arm=arm, eval_every=2, **LESS)
        fit(recipe, tmp_path / "runs" / "part" / arm / "seed0", device="cpu")
    monkeypatch.setattr("sys.argv", ["full.py", str(tmp_path / "runs"), "digits"])
    full.main()
    once = full.TABLE.read_text()
    full.main()
    assert full.TABLE.read_text() == once
    table = pd.read_csv(full.TABLE).set_index(["arm", "epoch"])
    assert table.index.tolist() == [(arm, epoch) for arm in ("simclr-clean", "supervised-dirty") for epoch in (2, 3)]
    has = table[full.OTHER_RATES].notna()
    assert has.loc[("simclr-clean", 3)].tolist() == [True, False, False, False]
    assert has.loc[("supervised-dirty", 3)].all()
    assert not has.xs(2, level="epoch").any(axis=None)
    assert set(table["part"]) == {"part"}


def test_a_set_of_arms_is_one_part_and_seed(script, tmp_path, monkeypatch):
    published = script("published")
    lines = [{"part": part, "arm": "simclr-clean", "seed": seed} for part in ("a", "b") for seed in (0, 1)]
    pd.DataFrame(lines).to_csv(tmp_path / "full.csv", index=False)
    monkeypatch.setattr(published, "HERE", tmp_path)
    assert published.trained_on_gpu("b", 1).to_dict("records") == [lines[3]]


def test_a_number_of_ours_is_that_of_the_arm_that_is_named(script):
    ours = script("published").OURS["full"]
    poisoned = ours("official-half/simclr-clean", "asr")
    benign = ours("official-half/simclr-benign", "asr")
    assert poisoned.value != benign.value == poisoned.benign
    assert benign.benign is None
    assert "width 32, 160 epochs; seed 0" in poisoned.of
    with pytest.raises(ValueError, match="expected one row by knn, received 0"):
        ours("official-half/supervised-dirty", "asr")


def test_what_is_left_of_a_trigger(script):
    augmented = script("augmented")
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


def test_steps_are_told_by_their_range_and_by_seeds_that_were_too_slow(script):
    span = script("on_gpu").span
    assert span("36 31 34") == "31–36"
    assert span("– 565 326") == "326–565 (once not within 1,500)"
    assert span("– 565 –") == "565–565 (2 times not within 1,500)"


def test_both_logs_are_told_whole(script):
    third_party = script("third_party")
    for _, log in third_party.logs().groupby("log"):
        assert log["epoch"].tolist() == list(range(1, 1000, 5))
    assert third_party.at_the_end("second") == "90.5 and 18.3 % (epoch 996)"
    assert third_party.ranged("first", 281, 281) == "1–1 %"


def test_a_number_of_a_study_is_the_mean_of_its_seeds(script):
    runs = pd.read_csv(FOLDER.parent / "studies" / "digits-sig" / "history.csv.gz")
    last = runs[(runs["arm"] == "supervised-clean") & (runs["epoch"] == runs["epoch"].max())]["asr"]
    of = script("published").OURS["study"]("digits-sig/supervised-clean", "asr")
    assert of.value == pytest.approx(last.mean(), abs=1e-6)
    assert of.spread == pytest.approx((last.min(), last.max()), abs=1e-6)


def test_seeds_in_which_a_clean_encoder_answers_are_named(script, monkeypatch):
    specificity = script("specificity")
    rates = {"": [0.9, 0.9, 0.4], "benign": [0.0, 0.5, 0.6], "random-trigger": [0.1, 0.1, 0.1]}
    planted = {"knn": pd.DataFrame(rates, [3, 4, 5]), "ridge": pd.DataFrame(rates | {"": [0.9, 0.1, 0.1]}, [3, 4, 5])}
    monkeypatch.setattr(specificity, "finished", lambda: ["digits"])
    monkeypatch.setattr(specificity, "_asr", lambda study, arm, evaluator: planted[evaluator])
    told = specificity.clean_answers()
    assert "from 0.000 to 0.600 and is 0.3 or more in 2 of 3 seeds" in told
    assert "working in 2 by kNN and in 1 by the ridge probe, in 1 by both" in told
    assert "(by one alone, ASR and benign twin by kNN / the ridge probe: 4: 0.900 (0.500) / 0.100 (0.500))" in told
    assert "in seeds that do not count: 5: 0.400 (0.600);" in told
