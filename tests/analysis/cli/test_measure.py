"""``intertwine measure`` of runs: the rows of compare, parts of them, and how it refuses."""

import json
import shutil

import pandas as pd
import pytest
import torch
from intertwine.analysis.results.table import COLUMNS, read_rows
from intertwine.checkpoints import load_checkpoint


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


@pytest.mark.parametrize("damage", ["flip", "truncate", "missing", "manifest"])
def test_a_damaged_checkpoint_is_refused(run, small_runs, tmp_path, damage, refused):
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


def test_a_benign_of_another_method_or_plan_is_refused(run, small_runs, refused):
    dirty, clean = small_runs / "supervised-dirty/seed0", small_runs / "supervised-benign/seed0"
    refused(run("measure", clean, "--benign", dirty), "benign twin: expected a run of supervised-benign")


def test_a_benign_trained_by_another_recipe_is_refused_though_its_plan_is_the_same(run, tmp_path, refused, trained):
    # The plan holds seed, data, target and trigger: a clean run of other length or crop has the same.
    poisoned = trained(tmp_path / "dirty", arm="supervised-dirty")
    clean = trained(tmp_path / "clean", arm="supervised-benign", crop=1.0)
    refused(run("measure", poisoned, "--benign", clean), "benign twin: expected the recipe", "crop 1.0 for 0.08")
    assert not (poisoned / "rows.csv").exists()
    refused(run("compare", tmp_path, "--out", tmp_path / "out"), "one recipe", "crop")
    assert not (tmp_path / "out").exists()


def test_rows_of_some_layers_never_pass_for_those_of_the_run(run, small_runs, tmp_path, refused):
    words = ("measure", small_runs / "supervised-dirty/seed0", "--layers", "stem")
    refused(run(*words), "out: expected a folder with --layers")
    assert run(*words, "--out", tmp_path)[0] == 0
    assert set(read_rows(tmp_path / "rows.csv").layer) >= {"stem"}


def test_an_out_that_is_a_file_is_one_line(run, small_runs, tmp_path, refused):
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
    assert set(rows["measure"]) == {"acc", "asr", "r_acc", "backdoored", "confusion", "silhouette"}


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (("--readings", "silhouet"), "did you mean silhouette?"),
        (("--readings", "cheap", "--images", "5"), "images: expected at least 100 images, received 5"),
        (("--readings", "cheap", "--bank", "5"), "bank: expected at least 100 images, received 5"),
    ],
)
def test_bad_readings_write_nothing(run, small_runs, tmp_path, words, message, refused):
    refused(run("measure", small_runs / "supervised-dirty/seed0", *words, "--out", tmp_path / "out"), message)
    assert not (tmp_path / "out").exists()


def test_some_readings_never_pass_for_those_of_the_run(run, small_runs, refused):
    refused(
        run("measure", small_runs / "supervised-dirty/seed0", "--readings", "cheap"),
        "out: expected a folder with --layers, --readings, --images, --bank or --evaluator",
    )


def test_a_foreign_checkpoint_needs_data_trigger_and_target(run, refused, tmp_path):
    file = tmp_path / "my.pth"
    torch.save({}, file)
    words = ["measure", file]
    for name, value in (("data", "digits"), ("trigger", "patch:trigger.png"), ("target", "0")):
        refused(run(*words), f"{name}: expected --{name} for {file}, received none")
        words += [f"--{name}", value]
    refused(run(*words, "--mean", "1,2"), "mean: expected three numbers, received '1,2'")
    refused(run(*words, "--evaluation-data", "digits"), "evaluation_data: expected --data or --evaluation-data")
