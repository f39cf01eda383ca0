"""A study runs unattended: killed, failed and on other engines it ends with the same rows, under the predicates it
began with."""

import contextlib
import gzip
import json
import os
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path

import pandas as pd
import pytest
import torch
from intertwine.analysis.reports.readings_table import across_seeds
from intertwine.analysis.results.schema import COLUMNS
from intertwine.analysis.results.table import final_rows, read_rows, write_rows
from intertwine.analysis.studies import executors as engines
from intertwine.analysis.studies.join import join_studies
from intertwine.analysis.studies.study import STUDY_ARMS, conclude, study
from intertwine.analysis.studies.tasks import INTERVENTIONS, is_done, stamp, tasks_of
from intertwine.representations.errors import InputError
from intertwine.training import read_recipe
from intertwine.training.arms import ARMS

TINY = {"epochs": 3, "n_train": 300, "n_test": 150, "width": 4, "hidden": 16, "projection": 8, "batch": 50}
RECIPE = read_recipe("digits-demo", **TINY)
FEW = {"arms": ["supervised-dirty"], "seeds": 2, "device": "cpu", "engine": "here", "interventions": False}


def serial(work, tasks, lost, *, jobs, threads):
    """In this process: for what is not about processes, whose start takes seconds."""
    before = torch.get_num_threads()
    torch.set_num_threads(threads)
    try:
        yield from map(work, tasks)
    finally:
        torch.set_num_threads(before)


@pytest.fixture(autouse=True)
def here(monkeypatch):
    monkeypatch.setitem(engines.ENGINES, "here", serial)


@pytest.fixture(scope="module")
def done(tmp_path_factory):
    """A small study, and what it said."""
    out, lines = tmp_path_factory.mktemp("study"), []
    engines.ENGINES["here"] = serial
    rows, claims, written = study(RECIPE, out, **FEW, log=lines.append)
    return out, rows, claims, written, lines


def test_rows_of_all_runs_are_in_one_file(done):
    out, rows, claims, written, lines = done
    assert all(path.is_file() for path in written)
    pd.testing.assert_frame_equal(read_rows(out / "rows.csv"), rows, check_dtype=False)
    assert list(rows.columns) == COLUMNS
    assert set(rows.run) == {f"{arm}/seed{s}" for arm in ("supervised-benign", "supervised-dirty") for s in (0, 1)}
    assert set(rows[rows.arm == "supervised-dirty"].epoch) == {0, 1, 2, 3}
    assert {"half_time_gap", "dynamics_coupling", "own_gradient_alignment", "loss_rank_auc"} <= set(rows.measure)
    assert set(claims.claim) == {"C2"}
    assert set(final_rows(rows).epoch) == {3}
    assert sum("train" in line for line in lines) == sum("measure" in line for line in lines) == 4
    assert all("s wall" in line and "s CPU" in line for line in lines)


def test_figures_and_report_come_from_the_tables_alone(done, tmp_path):
    out, rows, claims, *_ = done
    for name in ("rows.csv", "history.csv", "runs.csv", "recipe.json"):
        (tmp_path / name).write_bytes((out / name).read_bytes())
    again, verdicts, made = conclude(tmp_path)
    pd.testing.assert_frame_equal(again, rows)
    pd.testing.assert_frame_equal(verdicts, claims)
    before = {path: path.read_bytes() for path in made}
    assert {path.name for path in made} >= {"claims.csv", "report.md", "forest.pdf", "alignment_map-1col.png"}
    conclude(tmp_path)
    assert {path: path.read_bytes() for path in made} == before
    report = (tmp_path / "report.md").read_text()
    for word in ("half-time gap", "supervised-dirty", "forest.png", "alignment_map.png", "predicates.json"):
        assert word in report
    with pytest.raises(InputError, match=r"rows: .* is not there"):
        conclude(tmp_path / "nowhere")


def test_predicates_and_recipe_are_there_before_anything_is_trained(tmp_path, monkeypatch):
    seen = []
    monkeypatch.setitem(engines.ENGINES, "here", lambda *a, **k: seen.append(sorted(os.listdir(tmp_path))) or iter(()))
    with pytest.raises(InputError, match="study: no run could be trained"):
        study(RECIPE, tmp_path, **FEW)
    assert seen[0] == ["predicates.json", "recipe.json"]
    assert "margin" in json.loads((tmp_path / "predicates.json").read_text())


def test_a_finished_study_is_not_done_again(done):
    out, rows, *_ = done
    before = {p: p.stat().st_mtime_ns for p in (out / "runs").rglob("*") if p.is_file()}
    again, _, _ = study(RECIPE, out, **FEW)
    pd.testing.assert_frame_equal(again, rows)
    assert {p: p.stat().st_mtime_ns for p in (out / "runs").rglob("*") if p.is_file()} == before


def test_other_predicates_or_another_recipe_are_refused(done, monkeypatch):
    out = done[0]
    with pytest.raises(InputError, match=r"recipe\.json is not what this study would begin with"):
        study(RECIPE.replace(lr=1e-3), out, **FEW)
    from intertwine.analysis.claims import learning_claims as claims

    monkeypatch.setattr(claims, "MARGIN", 0.2)
    with pytest.raises(InputError, match=r"predicates\.json is not what this study would begin with"):
        study(RECIPE, out, **FEW)


def test_more_seeds_are_added_to_what_is_there(done, tmp_path):
    out, rows, *_ = done
    lines: list[str] = []
    more, _, _ = study(RECIPE, out, **FEW | {"seeds": 3}, log=lines.append)
    assert any("4 of 6 tasks are done already" in line for line in lines)
    assert set(more.seed) == {0, 1, 2}
    same = more[more.seed < 2].reset_index(drop=True)
    own = rows[rows.measure != "dynamics_coupling"].reset_index(drop=True)
    pd.testing.assert_frame_equal(same[same.measure != "dynamics_coupling"].reset_index(drop=True), own)


def test_failed_runs_are_listed_left_out_and_tried_again(tmp_path, monkeypatch):
    """A folder that cannot be written stands for whatever goes wrong in one run."""
    (tmp_path / "runs" / "supervised-dirty").mkdir(parents=True)
    (tmp_path / "runs" / "supervised-dirty" / "seed1").write_text("in the way")
    lines: list[str] = []
    rows, _, _ = study(RECIPE, tmp_path, **FEW, log=lines.append)
    assert "supervised-dirty/seed1" not in set(rows.run)
    assert {"supervised-dirty/seed0", "supervised-benign/seed1"} <= set(rows.run)
    failures = pd.read_csv(tmp_path / "failures.csv")
    assert list(failures.task) == ["train supervised-dirty/seed1"]
    assert "below a file" in failures.error[0]
    assert any("failed: InputError" in line for line in lines)
    (tmp_path / "runs" / "supervised-dirty" / "seed1").unlink()
    rows, _, _ = study(RECIPE, tmp_path, **FEW)
    assert "supervised-dirty/seed1" in set(rows.run)
    assert not (tmp_path / "failures.csv").exists()


def alive_in_group(group):
    """Ids of its processes, without those that only wait to be buried."""
    found = []
    for path in Path("/proc").glob("[0-9]*/stat"):
        with contextlib.suppress(OSError):  # it has ended meanwhile
            state, _, of, *_ = path.read_text().rpartition(")")[2].split()
            found += [path.parent.name] if int(of) == group and state != "Z" else []
    return found


def test_killed_and_continued_it_ends_with_the_same_rows(done, tmp_path):
    expected = done[1]
    expected = expected[(expected.seed < 2) & (expected.measure != "dynamics_coupling")]
    local = FEW | {"engine": "local"}
    script = (
        "from pathlib import Path; from intertwine.analysis.studies.study import study\n"
        "from intertwine.training import read_recipe\n"
        "if __name__ == '__main__':\n"
        f"    study(read_recipe('digits-demo', **{TINY!r}), Path({str(tmp_path)!r}), **{local!r}, jobs=2)\n"
    )
    (tmp_path / "study.py").write_text(script)
    for started in ("runs/*/*/snapshots", "runs/*/*/rows.csv"):  # while it trains, while it measures
        process = subprocess.Popen([sys.executable, str(tmp_path / "study.py")], start_new_session=True)
        while not list(tmp_path.glob(started)):
            assert process.poll() is None, "it ended before it could be killed"
            time.sleep(0.05)
        os.kill(process.pid, signal.SIGKILL)  # itself alone, as `kill` and the system's memory killer do
        process.wait()
        end = time.monotonic() + 20
        while (left := alive_in_group(process.pid)) and time.monotonic() < end:
            time.sleep(0.1)
        assert not left, "its workers train on, into the folders of whoever continues"
        assert not (tmp_path / "rows.csv").exists(), "it was killed after its end"
    rows, _, _ = study(RECIPE, tmp_path, **local)
    rows = rows[rows.measure != "dynamics_coupling"].reset_index(drop=True)
    pd.testing.assert_frame_equal(rows, expected.reset_index(drop=True))


def test_ray_gives_the_same_rows(done, tmp_path):
    """On a local instance, with the same number of threads."""
    ray = pytest.importorskip("ray", reason="in the extra `ray`, which the extra `test` has")
    expected = done[1]
    try:
        rows, _, _ = study(RECIPE, tmp_path, **FEW | {"engine": "ray"}, jobs=2)
    finally:
        ray.shutdown()
    expected = expected[expected.seed < 2].reset_index(drop=True)
    pd.testing.assert_frame_equal(rows, expected)


def test_interventions_are_a_stage_of_their_own_joined_and_not_made_twice(done, tmp_path):
    """On a copy of a study that had none; the clean arm is only what the other is held against."""
    out = tmp_path / "study"
    shutil.copytree(done[0], out)
    with_interventions, lines = FEW | {"seeds": 1, "interventions": True}, []
    rows, _, _ = study(RECIPE, out, **with_interventions, log=lines.append)
    assert [line.split("  ")[0] for line in lines if "intervene" in line] == ["[1/1] intervene supervised-dirty/seed0"]
    made = {"acc_barrier", "transplant_gain", "forgetting_coupling", "erasure_cost_acc", "matched_strength"}
    assert made <= set(rows.measure)
    assert made.isdisjoint(done[1].measure)
    ends = rows[rows.measure == "own_gradient_alignment"]
    assert {"", "benign", "random-trigger", "together"} <= set(ends.reference)
    assert set(ends[ends.reference == "together"].epoch) == set(ends[ends.reference == ""].epoch)
    final = final_rows(rows)
    assert not final.duplicated(["run", "layer", "subset", "measure", "reference", "params", "run_b", "layer_b"]).any()
    one = final[final.measure.isin(["neighbour_mixing", "gradient_alignment"])].reset_index(drop=True)
    own = final_rows(done[1][done[1].seed == 0])
    own = own[own.measure.isin(["neighbour_mixing", "gradient_alignment"])].reset_index(drop=True)
    pd.testing.assert_frame_equal(one, own, obj="what is judged, with and without interventions")

    table, stamp = (out / "runs/supervised-dirty/seed0" / name for name in ("interventions.csv", "intervened.json"))
    before = table.read_bytes()
    lines.clear()
    study(RECIPE, out, **with_interventions, log=lines.append)
    assert not any("intervene" in line for line in lines)
    stamp.unlink()  # killed before it was done: neither joined nor taken for done
    without, _, _ = study(RECIPE, out, **FEW | {"seeds": 1})
    assert made.isdisjoint(without.measure)
    again, _, _ = study(RECIPE, out, **with_interventions)
    assert table.read_bytes() == before
    pd.testing.assert_frame_equal(again, rows)

    *_, drawn = conclude(out)
    names = {path.name for path in drawn}
    assert {"interpolation.pdf", "interpolation-1col.png", "claims_matched.csv"} <= names
    report = (out / "report.md").read_text()
    for word in ("## Interventions", "forgetting coupling, ascent", "ACC barrier", "## Verdicts at an ASR of 0.5"):
        assert word in report


def test_a_table_that_anything_else_has_written_is_measured_again(done, tmp_path):
    """A stamp stands for the tables beside it; a measurement that was killed leaves none."""
    shutil.copytree(done[0], out := tmp_path / "study")
    expected, _, _ = study(RECIPE, out, **FEW | {"seeds": 1})
    table = out / "runs/supervised-dirty/seed0/rows.csv"
    table.write_text(table.read_text().replace(",ok", ",undefined"))
    again, _, _ = study(RECIPE, out, **FEW | {"seeds": 1})
    pd.testing.assert_frame_equal(again, expected)
    study(RECIPE, out, **FEW | {"seeds": 1, "most": 100})  # another setting, and back
    back, _, _ = study(RECIPE, out, **FEW | {"seeds": 1})
    pd.testing.assert_frame_equal(back, expected)


def test_runs_of_another_hash_are_listed_and_not_joined(done, tmp_path):
    shutil.copytree(done[0], out := tmp_path / "study")
    with pytest.raises(InputError, match=r"study: no run could be trained and measured: .* holds another run"):
        study(RECIPE, out, **FEW | {"seeds": 1}, threads=2)
    failures = pd.read_csv(out / "failures.csv")
    assert list(failures.task) == ["train supervised-benign/seed0", "train supervised-dirty/seed0"]
    assert failures.error.str.contains("holds another run: threads was 1 and is 2").all()


def test_a_damaged_run_is_listed_and_the_others_go_on(done, tmp_path):
    shutil.copytree(done[0], out := tmp_path / "study")
    (out / "runs/supervised-dirty/seed1/encoder.safetensors").write_bytes(b"damaged")
    rows, _, _ = study(RECIPE, out, **FEW)
    assert "supervised-dirty/seed1" not in set(rows.run)
    assert {"supervised-dirty/seed0", "supervised-benign/seed1"} <= set(rows.run)
    assert list(pd.read_csv(out / "failures.csv").task) == ["train supervised-dirty/seed1"]


def test_tables_may_be_compressed(done, tmp_path):
    out = done[0]
    for name in ("rows.csv", "history.csv", "runs.csv"):
        (tmp_path / f"{name}.gz").write_bytes(gzip.compress((out / name).read_bytes()))
    (tmp_path / "recipe.json").write_bytes((out / "recipe.json").read_bytes())
    again, _, _ = conclude(tmp_path)
    pd.testing.assert_frame_equal(again, read_rows(out / "rows.csv"))
    for broken, message in (
        ("{}", r"recipe: expected all fields, received none for .*trigger"),
        ("[", r"study: .* is not the folder of a study"),
    ):
        (tmp_path / "recipe.json").write_text(broken)
        with pytest.raises(InputError, match=message):
            conclude(tmp_path)
    (tmp_path / "history.csv.gz").write_bytes((tmp_path / "history.csv.gz").read_bytes()[:-20])
    with pytest.raises(InputError, match=r"study: .* is not the folder of a study"):
        conclude(tmp_path)
    (tmp_path / "rows.csv.gz").write_bytes(b"not compressed")
    with pytest.raises(InputError, match=r"rows: .*rows\.csv\.gz is not a table of rows"):
        conclude(tmp_path)


# --- engines


TASKS = """
import os, signal
from pathlib import Path

def double_or_die(task):
    number, flag = task
    if flag and not Path(flag).exists():
        Path(flag).write_text("was here")
        os.kill(os.getpid(), signal.SIGKILL)
    if number < 0:
        os.kill(os.getpid(), signal.SIGKILL)
    return 2 * number
"""


@pytest.fixture
def double_or_die(tmp_path, monkeypatch):
    """Where another process finds it."""
    (tmp_path / "tasks_of_a_test.py").write_text(TASKS)
    monkeypatch.syspath_prepend(tmp_path)
    import tasks_of_a_test

    yield tasks_of_a_test.double_or_die
    del sys.modules["tasks_of_a_test"]


def lost(task: tuple[int, str]) -> int:
    return 1000 + task[0]


def test_a_process_that_dies_once_costs_nothing(tmp_path, double_or_die):
    tasks = [(i, str(tmp_path / "flag") if i == 3 else "") for i in range(6)]
    results = sorted(engines.ENGINES["local"](double_or_die, tasks, lost, jobs=2, threads=1))
    assert results == [0, 2, 4, 6, 8, 10]


def test_a_task_that_kills_its_process_again_is_given_up_and_the_others_are_not(double_or_die):
    tasks = [(0, ""), (-5, ""), (1, ""), (2, ""), (3, ""), (4, ""), (5, "")]
    results = list(engines.ENGINES["local"](double_or_die, tasks, lost, jobs=1, threads=1))
    assert 995 in results
    assert {6, 8, 10} <= set(results)
    assert len(results) == 7


# --- bad input


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"arms": ["supervised"]}, "arms: expected some of .* received 'supervised'"),
        ({"arms": []}, "arms: expected some of .* received none"),
        ({"arms": ["badencoder"]}, "arms: expected arms that are trained from the start, received 'badencoder'"),
        ({"seeds": 0}, "seeds: expected at least 1, received 0"),
        ({"most": 50}, r"most \(--images\): expected at least 100 images, received 50"),
        ({"engine": "slurm"}, "engine: expected one of local, ray.*, received 'slurm'"),
    ],
)
def test_what_it_refuses(tmp_path, changes, message):
    with pytest.raises(InputError, match=message):
        study(RECIPE, tmp_path / "out", **FEW | changes)
    assert not (tmp_path / "out").exists()


def test_the_eight_arms_are_those_of_the_plan_with_their_benign_twins():
    assert len(STUDY_ARMS) == 8
    assert {ARMS[arm].benign for arm in STUDY_ARMS} <= set(STUDY_ARMS)


def test_seeds_done_apart_and_joined_are_the_study(done, tmp_path):
    _, rows, claims, *_ = done
    for seed in (0, 1):
        study(RECIPE, tmp_path / f"part{seed}", **FEW | {"seeds": 1, "first_seed": seed})
    shutil.copytree(tmp_path / "part1", tmp_path / "packed")
    text = (tmp_path / "packed/rows.csv").read_bytes()
    (tmp_path / "packed/rows.csv.gz").write_bytes(gzip.compress(text))
    (tmp_path / "packed/rows.csv").unlink()
    written = join_studies([tmp_path / "part0", tmp_path / "packed"], tmp_path / "joined")
    assert all(path.is_file() for path in written)
    again, verdicts, _ = conclude(tmp_path / "joined")
    key = ["run", "epoch", "layer", "subset", "measure", "reference", "params", "run_b", "x", "value"]
    pd.testing.assert_frame_equal(
        again.sort_values(key, ignore_index=True), rows.sort_values(key, ignore_index=True), check_dtype=False
    )
    pd.testing.assert_frame_equal(verdicts, claims)
    with pytest.raises(InputError, match="out: expected a folder without a study"):
        join_studies([tmp_path / "part0", tmp_path / "part1"], tmp_path / "joined")
    with pytest.raises(InputError, match="each arm and seed once, received supervised-benign/seed0"):
        join_studies([tmp_path / "part0", tmp_path / "part0"], tmp_path / "other")
    with pytest.raises(InputError, match="at least two studies, received 1"):
        join_studies([tmp_path / "part0"], tmp_path / "other")
    with pytest.raises(InputError, match="nowhere is not the folder of a study"):
        join_studies([tmp_path / "part0", tmp_path / "nowhere"], tmp_path / "other")
    recipe = tmp_path / "part1/recipe.json"
    recipe.write_text(recipe.read_text().replace('"epochs": 3', '"epochs": 4'))
    with pytest.raises(InputError, match=r"recipe.json is not that of .*part0"):
        join_studies([tmp_path / "part0", tmp_path / "part1"], tmp_path / "other")
    recipe.write_text(recipe.read_text().replace('"epochs": 4', '"epochs": 3'))
    runs = pd.read_csv(tmp_path / "part1/runs.csv")
    for table, message in (
        (runs.drop(columns="seed"), "expected the columns seed"),
        (runs.iloc[:1], "runs.csv and .* do not hold the same runs: supervised-dirty/seed1"),
    ):
        table.to_csv(tmp_path / "part1/runs.csv", index=False)
        with pytest.raises(InputError, match=message):
            join_studies([tmp_path / "part0", tmp_path / "part1"], tmp_path / "other")
    runs.to_csv(tmp_path / "part1/runs.csv", index=False)
    rows = read_rows(tmp_path / "part1/rows.csv")
    write_rows(rows.assign(n=rows["n"] - 1), tmp_path / "part1/rows.csv")
    with pytest.raises(InputError, match="expected readings of as many images in all studies"):
        join_studies([tmp_path / "part0", tmp_path / "part1"], tmp_path / "other")
    assert not (tmp_path / "other").exists()
    write_rows(rows, tmp_path / "part1/rows.csv")
    pd.DataFrame([{"task": "train x", "folder": "y", "error": "z"}]).to_csv(tmp_path / "part1/failures.csv")
    join_studies([tmp_path / "part0", tmp_path / "part1"], tmp_path / "other")
    assert pd.read_csv(tmp_path / "other/failures.csv").task.tolist() == ["train x"], "failures are not lost"
    with pytest.raises(InputError, match="first_seed: expected 0 or more, received -1"):
        study(RECIPE, tmp_path / "negative", **FEW | {"first_seed": -1})


def test_the_trained_encoders_are_shown_triggers_that_they_were_not_trained_on(done):
    _, rows, *_ = done
    unrelated = rows[rows["reference"] == "random-trigger"]
    assert set(unrelated["run"]) == {f"supervised-dirty/seed{seed}" for seed in (0, 1)}
    assert set(unrelated["measure"]) == {"asr", "r_acc"}
    assert set(unrelated["epoch"]) == {RECIPE.epochs}
    assert unrelated["params"].str.contains("patterns=3").all()
    final = final_rows(rows)
    line = across_seeds(final).set_index(["reading", "arm"]).loc[("asr [knn]", "supervised-dirty")]
    own = unrelated[(unrelated["measure"] == "asr") & unrelated["params"].str.contains("evaluator=knn")]["value"]
    assert line["random trigger"] == f"{own.mean():.3f}"
    assert "random trigger" not in across_seeds(final[final["reference"] != "random-trigger"])
    part = final[(final["reference"] != "random-trigger") | (final["seed"] == 0)]
    line = across_seeds(part).set_index(["reading", "arm"]).loc[("asr [knn]", "supervised-dirty")]
    assert line["random trigger"] == "–", "a mean of other seeds than the line's would be no reference"


def test_the_benign_of_a_line_is_that_of_the_seeds_that_count(done):
    """Readers subtract: the mean less its benign twin is the difference beside it, which is paired."""
    _, rows, *_ = done
    final = final_rows(rows)
    failed = (final["seed"] == 1) & (final["measure"] == "displacement_cosine") & (final["reference"] == "")
    final.loc[failed & (final["arm"] == "supervised-dirty"), "status"] = "not_evaluable"
    line = across_seeds(final).set_index(["reading", "arm"]).loc[("displacement_cosine (P)", "supervised-dirty")]
    one = final[(final["measure"] == "displacement_cosine") & (final["layer"] == "features") & (final["seed"] == 0)]
    one = one[(one["arm"] == "supervised-dirty") & (one["subset"] == "triggered")].set_index("reference")["value"]
    assert (line["mean"], line["benign"]) == (f"{one['']:.3f}", f"{one['benign']:.3f}")
    assert line["seeds"] == "1 of 2"


def test_another_bank_is_another_measurement(done, tmp_path):
    out, rows, *_ = done
    shutil.copytree(out, tmp_path / "study")
    lines = []
    again, *_ = study(RECIPE, tmp_path / "study", **FEW, most_bank=100, log=lines.append)
    assert sum("measure" in line for line in lines) == 4, "what was read with more images does not stand"
    assert not any("train" in line and "s wall" in line for line in lines)
    knn = [t[t.params.str.contains("evaluator=knn;k=")].params.iloc[0] for t in (rows, again)]
    assert knn == ["evaluator=knn;k=6", "evaluator=knn;k=2"]
    with pytest.raises(InputError, match=r"most_bank \(--bank\): expected at least"):
        study(RECIPE, tmp_path / "study", **FEW, most_bank=1)


def test_a_study_may_go_by_the_ridge_probe_and_says_so_before_it_starts(done, tmp_path):
    out, *_ = done
    shutil.copytree(out, tmp_path / "study")
    for name in ("study", "other"):
        with pytest.raises(InputError, match="evaluator: expected knn with interventions, which go by it"):
            study(RECIPE, tmp_path / name, **FEW | {"interventions": True}, evaluator="ridge")
    with pytest.raises(InputError, match="another recipe, evaluator or other predicates; choose another folder"):
        study(RECIPE, tmp_path / "study", **FEW, evaluator="ridge")
    shutil.copytree(out / "runs", tmp_path / "other" / "runs")
    intervened = tmp_path / "other" / "runs" / "supervised-dirty" / "seed0"
    write_rows(done[1].head(1).assign(measure="asr_half_point"), intervened / INTERVENTIONS)
    task = tasks_of(
        "intervene", [RECIPE.replace(arm="supervised-dirty")], tmp_path / "other", None, "cpu", 1, 2000, 5000
    )
    (intervened / "intervened.json").write_text(json.dumps(stamp(task[0])))
    assert is_done(task[0])
    lines = []
    rows, *_ = study(RECIPE, tmp_path / "other", **FEW, evaluator="ridge", log=lines.append)
    assert json.loads((tmp_path / "other" / "predicates.json").read_text())["evaluator"] == "ridge"
    assert sum("measure" in line for line in lines) == 4
    assert sum("train" in line and "s wall" in line for line in lines) == 0
    snapshots = rows[(rows.measure == "asr") & (rows.reference == "") & (rows.arm == "supervised-dirty")]
    assert snapshots.groupby(["run", "epoch"])["params"].agg(lambda p: p.str.contains("judge=yes").sum()).eq(1).all()
    assert "asr_half_point" not in set(rows.measure), "interventions go by kNN"
    conclude(tmp_path / "other")
    assert "by the ridge probe" in (tmp_path / "other" / "report.md").read_text()
    with pytest.raises(InputError, match="is not that of"):
        join_studies([out, tmp_path / "other"], tmp_path / "joined")
