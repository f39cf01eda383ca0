"""The command line on small runs: what it writes, that it can be repeated, and how it refuses."""

import json
import re
import shutil
import signal
import subprocess
import sys
import time

import pandas as pd
import pytest
import torch
from intertwine.analysis.cli.app import app as cli
from intertwine.analysis.results.schema import COLUMNS
from intertwine.analysis.results.table import read_rows
from intertwine.checkpoints import load_checkpoint
from PIL import Image

SMALL = ["--n-train", "300", "--n-test", "150", "--width", "4", "--epochs", "2", "--batch", "64"]


@pytest.fixture
def run(monkeypatch, capsys):
    """Run a command in this process: exit code, stdout, stderr."""

    def call(*words):
        monkeypatch.setattr(sys, "argv", ["intertwine", *map(str, words)])
        with pytest.raises(SystemExit) as stop:
            cli.main()
        captured = capsys.readouterr()
        return stop.value.code or 0, captured.out, captured.err

    return call


def refused(result, *words):
    """Exit code 2 and one line on stderr that holds the words."""
    code, out, err = result
    lines = [line for line in err.splitlines() if line.startswith("intertwine: ")]
    assert code == 2
    assert "Traceback" not in err + out
    assert len(lines) == 1
    for word in words:
        assert word in lines[0]


@pytest.fixture(scope="module")
def compared(small_runs, tmp_path_factory):
    out = tmp_path_factory.mktemp("compared")
    from intertwine.analysis.studies.comparison import compare

    rows, claims, written = compare([small_runs], out)
    return small_runs, out, rows, claims, written


def test_compare_joins_benign_twins_judges_draws_and_reports(compared):
    _, out, rows, claims, written = compared
    assert all(path.is_file() for path in written)
    assert {p.relative_to(out).as_posix() for p in written} >= {
        *("rows.csv", "claims.csv", "report.md"),
        *(
            f"figures/{n}.{s}"
            for n in ("dynamics", "embeddings", "readings", "alignment", "triggers")
            for s in ("pdf", "png")
        ),
        *("figures/readings-1col.pdf",),
    }
    assert set(rows.arm) == {"supervised-benign", "supervised-dirty"}
    benign_twins = rows[rows.reference == "benign"]
    assert set(benign_twins.run) == {"supervised-dirty/seed0"}
    assert set(benign_twins.run_b) == {"supervised-benign/seed0"}
    assert set(claims.claim) == {"C2"}
    report = (out / "report.md").read_text()
    for link in re.findall(r"\]\((figures/[^)]+)\)", report):
        assert (out / link).is_file()
    assert "supervised-dirty" in report
    assert "indicative" in report or "not evaluable" in report


def test_the_benign_asr_of_a_run_is_what_its_clean_twin_measures_itself(compared):
    rows = compared[2]
    asr = rows[(rows.measure == "asr") & rows.params.str.contains("evaluator=knn")]
    benign = asr[asr.reference == "benign"].iloc[0]
    own = asr[(asr.arm == "supervised-benign") & (asr.reference == "")].iloc[0]
    assert benign.value == own.value


def test_measure_gives_the_rows_of_compare_exactly(compared, run, tmp_path):
    runs, _, rows, *_ = compared
    code, out, _ = run(
        *("measure", runs / "supervised-dirty/seed0", "--benign", runs / "supervised-benign/seed0"),
        *("--out", tmp_path, "--json"),
    )
    assert code == 0
    expected = rows[rows.run == "supervised-dirty/seed0"].reset_index(drop=True)
    pd.testing.assert_frame_equal(read_rows(tmp_path / "rows.csv"), expected, check_exact=True)
    for given, want in zip(json.loads(out), expected.to_dict("records"), strict=True):
        assert list(given) == COLUMNS
        for column in COLUMNS:
            assert given[column] == want[column] or (given[column] is None and want[column] != want[column])


def test_measuring_leaves_the_checkpoint_alone(compared):
    load_checkpoint(compared[0] / "supervised-dirty/seed0")  # hashes still fit


def test_figures_come_back_from_rows_alone(compared, run, tmp_path):
    runs, out, *_ = compared
    copies = tmp_path / "runs"
    shutil.copytree(runs, copies)
    code, said, _ = run("figures", copies, "--out", tmp_path / "figures")
    assert code == 0
    for name in ("readings.pdf", "embeddings.png", "alignment-1col.png"):
        assert (tmp_path / "figures" / name).read_bytes() == (out / "figures" / name).read_bytes()
        assert name in said


def test_train_writes_a_checkpoint_and_names_the_files(run, tmp_path):
    code, out, _ = run("train", "digits-demo", "--arm", "supcon-dirty", "--out", tmp_path / "run", *SMALL)
    assert code == 0
    for name in ("encoder.safetensors", "head.safetensors", "manifest.json", "history.csv"):
        assert str(tmp_path / "run" / name) in out
    recipe = load_checkpoint(tmp_path / "run").manifest["recipe"]
    assert (recipe["arm"], recipe["epochs"], recipe["n_train"]) == ("supcon-dirty", 2, 300)


def test_train_says_when_the_encoder_has_collapsed(run, tmp_path, monkeypatch):
    """To one point, where it has no rank: null in the manifest."""
    from intertwine.training.loop import Training

    evaluate = Training.evaluate
    signs = {"feature_sd": 0.0, "effective_rank": float("nan"), "projection_sd": float("nan")}
    monkeypatch.setattr(Training, "evaluate", lambda self: evaluate(self) | signs)
    code, out, _ = run("train", "digits-demo", "--out", tmp_path / "run", *SMALL)
    assert code == 0
    assert "The encoder has collapsed: its features lie 0.000 from their mean on the unit sphere." in out


def test_train_on_an_image_folder_and_measure_it(run, tmp_path):
    for split, count in (("train", 24), ("test", 12)):
        for c, shade in enumerate((40, 120, 200)):
            folder = tmp_path / "DATA" / split / f"class{c}"
            folder.mkdir(parents=True)
            for i in range(count):
                Image.new("RGB", (32, 32), (shade, (37 * i) % 256, (91 * i) % 256)).save(folder / f"{i}.png")
    words = ("--data", f"imagefolder:{tmp_path}/DATA", "--n-train", "none", "--n-test", "none", "--batch", "24")
    run_folder = tmp_path / "run"
    code, *_ = run(
        "train", "cifar10-small-cpu", "--epochs", "1", "--poison-fraction", "0.5", "--out", run_folder, *words
    )
    assert code == 0
    code, _, _ = run("measure", run_folder)
    assert code == 0
    rows = read_rows(run_folder / "rows.csv")
    assert {"acc", "asr", "neighbour_mixing", "gradient_alignment", "cka"} <= set(rows.measure)
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
        (("--epoks", "3"), ("unknown field 'epoks'", "'epochs'")),
        (("--epochs", "three"), ("epochs", "whole number", "'three'")),
        (("--arm", "supervised"), ("arm", "supervised-dirty", "received 'supervised'")),
        (
            ("--trigger", "patch", "--trigger-size", "17", "--strength", "1"),
            ("trigger_size", "16", "larger than the image"),
        ),
        (("--device", "tpu"), ("device", "'tpu'")),
        (("--batch", "301"), ("batch", "300")),
        (("--epochs",), ("a value after --epochs",)),
    ],
)
def test_bad_input_to_train_is_one_line_and_leaves_nothing(run, tmp_path, words, expected):
    refused(run("train", "digits-demo", "--out", tmp_path / "run", *SMALL, *words), *expected)
    assert not (tmp_path / "run").exists()


def test_one_class_data_is_refused(run, tmp_path):
    folder = tmp_path / "DATA" / "only"
    folder.mkdir(parents=True)
    for i in range(10):
        Image.new("RGB", (32, 32), (i, i, i)).save(folder / f"{i}.png")
    words = ("--data", f"imagefolder:{tmp_path}/DATA", "--out", tmp_path / "run")
    refused(run("train", "cifar10-small-cpu", *words, "--n-train", "6", "--n-test", "4"), "class")
    assert not (tmp_path / "run").exists()


def test_unknown_recipe_names_the_presets(run):
    refused(run("train", "digits-dmeo"), "digits-demo", "'digits-dmeo'")


def test_a_changed_recipe_under_a_finished_run_is_refused_and_named(run, small_runs, tmp_path):
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
        *SMALL,
        "--lr",
        ".5",
    )
    refused(result, "lr was 0.004 and is 0.5")
    assert (tmp_path / "run/encoder.safetensors").read_bytes() == before


@pytest.mark.parametrize("damage", ["flip", "truncate", "missing", "manifest"])
def test_a_damaged_checkpoint_is_refused(run, small_runs, tmp_path, damage):
    folder = tmp_path / "run"
    shutil.copytree(small_runs / "supervised-dirty/seed0", folder)
    weights = folder / "encoder.safetensors"
    data = bytearray(weights.read_bytes())
    if damage == "flip":
        data[len(data) // 2] ^= 1
        weights.write_bytes(data)
    elif damage == "truncate":
        weights.write_bytes(data[:-10])
    elif damage == "missing":
        weights.unlink()
    else:
        (folder / "manifest.json").write_text("{")
    (folder / "rows.csv").unlink(missing_ok=True)
    refused(run("measure", folder), "checkpoint")
    assert not (folder / "rows.csv").exists()


@pytest.mark.parametrize(
    ("words", "expected"),
    [
        (("measure", "/nowhere"), "'/nowhere'"),
        (("compare", "/nowhere"), "'/nowhere'"),
        (("figures", "/nowhere"), "'/nowhere'"),
    ],
)
def test_missing_runs_are_refused(run, words, expected):
    refused(run(*words), expected)


def test_a_benign_of_another_method_or_plan_is_refused(run, small_runs):
    dirty, clean = small_runs / "supervised-dirty/seed0", small_runs / "supervised-benign/seed0"
    refused(run("measure", clean, "--benign", dirty), "benign twin: expected a run of supervised-benign")


def test_figures_of_runs_that_were_not_measured_say_what_to_do(run, small_runs, tmp_path):
    shutil.copytree(small_runs / "supervised-dirty/seed0", tmp_path / "run")
    for name in ("rows.csv", "embedding.csv", "triggers.npz"):
        (tmp_path / "run" / name).unlink(missing_ok=True)
    refused(run("figures", tmp_path / "run", "--out", tmp_path / "figures"), "intertwine measure")


def test_a_run_killed_by_sigkill_continues_to_the_same_weights(tmp_path):
    words = ["train", "digits-demo", "--arm", "simclr-clean", *SMALL, "--epochs", "6", "--threads", "1"]
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


@pytest.mark.slow
def test_two_demos_with_one_seed_give_identical_rows(run, tmp_path):
    for name in ("first", "second"):
        assert run("demo", "--quick", "--out", tmp_path / name)[0] == 0
    assert (tmp_path / "first/rows.csv").read_bytes() == (tmp_path / "second/rows.csv").read_bytes()
    assert (tmp_path / "first/claims.csv").read_bytes() == (tmp_path / "second/claims.csv").read_bytes()


def trained(folder, **changes):
    from intertwine.training import fit, read_recipe

    fields = {"n_train": 300, "n_test": 150, "width": 4, "epochs": 1, "batch": 64} | changes
    return fit(read_recipe("digits-demo", **fields), folder)


def test_a_benign_trained_by_another_recipe_is_refused_though_its_plan_is_the_same(run, tmp_path):
    # The plan holds seed, data, target and trigger: a clean run of other length or crop has the same.
    poisoned = trained(tmp_path / "dirty", arm="supervised-dirty")
    clean = trained(tmp_path / "clean", arm="supervised-benign", crop=1.0)
    refused(run("measure", poisoned, "--benign", clean), "benign twin: expected the recipe", "crop 1.0 for 0.08")
    assert not (poisoned / "rows.csv").exists()
    refused(run("compare", tmp_path, "--out", tmp_path / "out"), "one recipe", "crop")
    assert not (tmp_path / "out").exists()


def test_rows_of_some_layers_never_pass_for_those_of_the_run(run, small_runs, tmp_path):
    words = ("measure", small_runs / "supervised-dirty/seed0", "--layers", "stem")
    refused(run(*words), "out: expected a folder with --layers")
    assert run(*words, "--out", tmp_path)[0] == 0
    assert set(read_rows(tmp_path / "rows.csv").layer) >= {"stem"}


def test_test_images_without_target_or_others_are_refused_before_training(run, tmp_path):
    for split, classes in (("train", "ab"), ("test", "a")):
        for c in classes:
            (tmp_path / "DATA" / split / c).mkdir(parents=True)
            for i in range(12):
                Image.new("RGB", (32, 32), (20 * i, 100, 50)).save(tmp_path / "DATA" / split / c / f"{i}.png")
    words = ("--data", f"imagefolder:{tmp_path}/DATA", "--n-train", "none", "--n-test", "none", "--batch", "8")
    words += ("--poison-fraction", "0.5", "--out", tmp_path / "run")
    for target in ("0", "1"):
        refused(
            run("train", "cifar10-small-cpu", *words, "--target", target), "data: expected test images of the target"
        )
    assert not (tmp_path / "run").exists()


def test_a_table_that_was_emptied_is_one_line_and_no_figure(run, compared, tmp_path):
    shutil.copytree(compared[0], tmp_path / "runs")
    (tmp_path / "runs/supervised-dirty/seed0/embedding.csv").write_text("")
    refused(run("figures", tmp_path / "runs", "--out", tmp_path / "figures"), "embedding.csv", "not a table")
    assert not (tmp_path / "figures").exists()


def test_an_out_that_is_a_file_is_one_line(run, small_runs, tmp_path):
    (tmp_path / "file").write_text("kept")
    refused(run("measure", small_runs / "supervised-dirty/seed0", "--out", tmp_path / "file"), "file")
    assert (tmp_path / "file").read_text() == "kept"


def test_named_sets_and_readings(run, small_runs, tmp_path):
    folder = small_runs / "supervised-dirty/seed0"
    words = ("measure", folder, "--benign", small_runs / "supervised-benign/seed0", "--readings")
    code, out, _ = run(*words, "cheap", "--images", "120", "--bank", "200", "--out", tmp_path / "cheap")
    assert code == 0
    assert "rows.csv" in out
    rows = read_rows(tmp_path / "cheap/rows.csv")
    assert set(rows.loc[rows["measure"] == "neighbour_mixing", "layer"]) == {"features"}
    assert {"", "benign", "together"} <= set(rows["reference"])
    assert int(rows.loc[(rows["measure"] == "acc") & (rows["reference"] == ""), "n"].iloc[0]) == 150
    code, _, _ = run(*words, "silhouette", "--layers", "layer1", "--out", tmp_path / "named")
    rows = read_rows(tmp_path / "named/rows.csv")
    assert code == 0
    assert set(rows["measure"]) == {"acc", "asr", "r_acc", "silhouette"}


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (("--readings", "silhouet"), "did you mean silhouette?"),
        (("--readings", "cheap", "--images", "5"), "most (--images): expected at least 100 images, received 5"),
        (("--readings", "cheap", "--bank", "5"), "most_bank (--bank): expected at least 100 images, received 5"),
    ],
)
def test_bad_readings_write_nothing(run, small_runs, tmp_path, words, message):
    refused(run("measure", small_runs / "supervised-dirty/seed0", *words, "--out", tmp_path / "out"), message)
    assert not (tmp_path / "out").exists()


def test_some_readings_never_pass_for_those_of_the_run(run, small_runs):
    refused(
        run("measure", small_runs / "supervised-dirty/seed0", "--readings", "cheap"),
        "out: expected a folder with --layers, --readings, --images, --bank or --evaluator",
    )
