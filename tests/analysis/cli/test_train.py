"""``intertwine train``: what it writes, that it goes on where it was killed, and how it refuses."""

import shutil
import signal
import subprocess
import sys
import time

import pandas as pd
import pytest
import torch
from intertwine.analysis.results.table import read_rows
from intertwine.checkpoints import load_checkpoint
from PIL import Image


def test_train_writes_a_checkpoint_and_names_the_files(run, tmp_path, small):
    code, out, _ = run("train", "digits-demo", "--arm", "supcon-dirty", "--out", tmp_path / "run", *small)
    assert code == 0
    for name in ("encoder.safetensors", "head.safetensors", "manifest.json", "history.csv"):
        assert name in out
    assert f"Next: intertwine measure {tmp_path / 'run'}" in " ".join(out.split())
    recipe = load_checkpoint(tmp_path / "run").manifest["recipe"]
    assert (recipe["arm"], recipe["epochs"], recipe["n_train"]) == ("supcon-dirty", 2, 300)


def test_train_says_when_the_encoder_has_collapsed(run, tmp_path, monkeypatch, small):
    """To one point, where it has no rank: null in the manifest."""
    from intertwine.training.loop import Training

    evaluate = Training.evaluate
    signs = {"feature_sd": 0.0, "effective_rank": float("nan"), "projection_sd": float("nan")}
    monkeypatch.setattr(Training, "evaluate", lambda self: evaluate(self) | signs)
    code, out, _ = run("train", "digits-demo", "--out", tmp_path / "run", *small)
    assert code == 0
    assert "The encoder has collapsed: its features lie 0.000 from their mean on the unit sphere." in out


def test_train_on_an_image_folder_and_measure_it(run, tmp_path, refused):
    for split, count in (("train", 24), ("test", 12)):
        for c, shade in enumerate((40, 120, 200)):
            folder = tmp_path / "DATA" / split / f"class{c}"
            folder.mkdir(parents=True)
            for i in range(count):
                Image.new("RGB", (32, 32), (shade, (37 * i) % 256, (91 * i) % 256)).save(folder / f"{i}.png")
    words = ("--data", f"imagefolder:{tmp_path}/DATA", "--n-train", "none", "--n-test", "none", "--batch", "24")
    run_folder = tmp_path / "run"
    code, *_ = run(
        "train", "cifar10-ctrl-cpu", "--epochs", "1", "--poison-fraction", "0.5", "--out", run_folder, *words
    )
    assert code == 0
    code, _, _ = run("measure", run_folder)
    assert code == 0
    rows = read_rows(run_folder / "rows.csv")
    assert {"acc", "asr", "neighbour_mixing", "interference", "cka"} <= set(rows.measure)
    assert "benign" not in set(rows.reference)
    shutil.move(tmp_path / "DATA", tmp_path / "MOVED")
    refused(run("measure", run_folder), "DATA")
    assert run("measure", run_folder, "--data", f"imagefolder:{tmp_path}/MOVED")[0] == 0
    (tmp_path / "MOVED/test/class0/0.png").unlink()
    (tmp_path / "MOVED/train/class0/0.png").unlink()
    refused(run("measure", run_folder, "--data", f"imagefolder:{tmp_path}/MOVED"), "is not what", "fingerprint")


@pytest.mark.parametrize(
    ("words", "expected"),
    [
        (("--data", "imagefolder:/nowhere/at/all"), ("/nowhere/at/all",)),
        (("--target", "10"), ("target", "0 to 9", "received 10")),
        (("--target", "-1"), ("target", "received -1")),
        (("--poison-fraction", "0"), ("poison count from 1", "received 0")),
        (("--poison-fraction", "1.5"), ("poison count from 1 to the class's size", "received 1.5")),
        (("--epoks", "3"), ("train: unknown option '--epoks'", "'--epochs'")),
        (("--epochs", "three"), ("epochs", "whole number", "'three'")),
        (("--arm", "supervised"), ("arm", "supervised-dirty", "received 'supervised'")),
        (
            ("--trigger", "patch", "--trigger-size", "17", "--strength", "1"),
            ("trigger_size", "16", "larger than the image"),
        ),
        (("--device", "tpu"), ("device", "'tpu'")),
        (("--batch", "301"), ("batch", "300")),
        (("--epochs",), ("Option '--epochs' requires an argument",)),
    ],
)
def test_bad_input_to_train_is_one_line_and_leaves_nothing(run, tmp_path, words, expected, refused, small):
    refused(run("train", "digits-demo", "--out", tmp_path / "run", *small, *words), *expected)
    assert not (tmp_path / "run").exists()


def test_one_class_data_is_refused(run, tmp_path, refused):
    folder = tmp_path / "DATA" / "only"
    folder.mkdir(parents=True)
    for i in range(10):
        Image.new("RGB", (32, 32), (i, i, i)).save(folder / f"{i}.png")
    words = ("--data", f"imagefolder:{tmp_path}/DATA", "--out", tmp_path / "run")
    refused(run("train", "cifar10-ctrl-cpu", *words, "--n-train", "6", "--n-test", "4"), "class")
    assert not (tmp_path / "run").exists()


def test_unknown_recipe_names_the_presets(run, refused):
    refused(run("train", "digits-dmeo"), "digits-demo", "'digits-dmeo'")


def test_a_changed_recipe_under_a_finished_run_is_refused_and_named(run, small_runs, tmp_path, refused, small):
    shutil.copytree(small_runs / "supervised-dirty/seed0", tmp_path / "run")
    before = (tmp_path / "run/encoder.safetensors").read_bytes()
    result = run(
        "train",
        "digits-demo",
        "--arm",
        "supervised-dirty",
        "--name",
        "small",
        "--out",
        tmp_path / "run",
        *small,
        "--lr",
        ".5",
    )
    refused(result, "lr was 0.004 and is 0.5")
    assert (tmp_path / "run/encoder.safetensors").read_bytes() == before


def test_a_run_killed_by_sigkill_continues_to_the_same_weights(tmp_path, small):
    words = ["train", "digits-demo", "--arm", "simclr-clean", *small, "--epochs", "6", "--threads", "1"]
    command = [sys.executable, "-c", "from intertwine.analysis.cli.app import main; main()", *words, "--out"]
    subprocess.run([*command, tmp_path / "whole"], check=True, capture_output=True)
    process = subprocess.Popen([*command, tmp_path / "killed"], stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    while not (tmp_path / "killed" / "resume.pt").exists():  # somewhere inside the second epoch or later
        assert process.poll() is None
        time.sleep(0.01)
    process.send_signal(signal.SIGKILL)
    process.wait()
    assert not (tmp_path / "killed" / "manifest.json").exists()
    subprocess.run([*command, tmp_path / "killed"], check=True, capture_output=True)
    whole, killed = (load_checkpoint(tmp_path / name) for name in ("whole", "killed"))
    for name, weight in whole.encoder.state_dict().items():
        assert torch.equal(weight, killed.encoder.state_dict()[name]), name
    assert (tmp_path / "whole/history.csv").read_bytes() == (tmp_path / "killed/history.csv").read_bytes()


def test_test_images_without_target_or_others_are_refused_before_training(run, tmp_path, refused):
    for split, classes in (("train", "ab"), ("test", "a")):
        for c in classes:
            (tmp_path / "DATA" / split / c).mkdir(parents=True)
            for i in range(12):
                Image.new("RGB", (32, 32), (20 * i, 100, 50)).save(tmp_path / "DATA" / split / c / f"{i}.png")
    words = ("--data", f"imagefolder:{tmp_path}/DATA", "--n-train", "none", "--n-test", "none", "--batch", "8")
    words += ("--poison-fraction", "0.5", "--out", tmp_path / "run")
    for target in ("0", "1"):
        refused(
            run("train", "cifar10-ctrl-cpu", *words, "--target", target), "data: expected test images of the target"
        )
    assert not (tmp_path / "run").exists()


def test_tensorboard_shows_the_history(run, tmp_path, small):
    """Also of a run that goes on: each epoch has one point."""
    from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

    words = ("train", "digits-demo", "--out", tmp_path / "run", "--tensorboard", tmp_path / "curves", *small)
    assert run(*words)[0] == 0
    assert run(*words)[0] == 0  # the run is finished: nothing is added
    history = pd.read_csv(tmp_path / "run/history.csv", index_col="epoch")
    curves = EventAccumulator(str(tmp_path / "curves")).Reload()
    expected = {name: column.dropna() for name, column in history.items() if column.notna().any()}
    assert sorted(curves.Tags()["scalars"]) == sorted(expected)
    for name, column in expected.items():
        assert [(e.step, pytest.approx(e.value)) for e in curves.Scalars(name)] == [*column.items()], name


def test_without_tensorboard_it_is_said_how_to_get_it(run, tmp_path, refused, monkeypatch):
    monkeypatch.setitem(sys.modules, "tensorboard", None)
    monkeypatch.delitem(sys.modules, "torch.utils.tensorboard", raising=False)
    result = run("train", "digits-demo", "--out", tmp_path / "run", "--tensorboard", tmp_path / "curves")
    refused(result, "tensorboard: the package is not installed; pip install 'intertwine[tensorboard]'")
    assert not (tmp_path / "run").exists()
