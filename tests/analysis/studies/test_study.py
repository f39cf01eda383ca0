"""A study runs unattended: killed or failed it ends with the same rows, under the predicates it began with."""

import gzip
import json
import multiprocessing
import os
import shutil
import signal
import sys
import time
from pathlib import Path

import pandas as pd
import pytest
from intertwine.analysis.panel import PanelOptions
from intertwine.analysis.results.table import final_rows, read_rows
from intertwine.analysis.studies import executors, tasks
from intertwine.analysis.studies.study import STUDY_ARMS, _declare, conclude, study
from intertwine.representations.errors import InputError
from intertwine.training.arms import ARMS
from intertwine.training.recipe import EARLIER

from tests.analysis.schema_checks import must_fit_schema, must_name_tables
from tests.analysis.studies.conftest import FEW, RECIPE
from tests.factories import select


def test_rows_of_all_runs_are_in_one_file(done, tmp_path):
    out, rows, claims, written, lines = done
    assert all(path.is_file() for path in written)
    pd.testing.assert_frame_equal(read_rows(out / "rows.csv"), rows)
    must_fit_schema(rows, tmp_path)
    assert set(rows.run) == {f"{arm}/seed{s}" for arm in ("supervised-benign", "supervised-dirty") for s in (0, 1)}
    assert set(rows[rows.arm == "supervised-dirty"].epoch) == {0, 1, 2}
    assert {"half_time_gap", "dynamics_coupling", "own_gradient_alignment", "loss_rank_auc"} <= set(rows.measure)
    assert set(claims.claim) == {"C2"}
    assert set(final_rows(rows).epoch) == {2}
    assert sum("train" in line for line in lines) == sum("measure" in line for line in lines) == 4
    assert all("s wall" in line and "s CPU" in line for line in lines)
    names = must_name_tables(out)
    assert {"rows.csv", "dynamics.csv", "history.csv", "runs.csv", "claims.csv"} <= names


def test_figures_and_report_come_from_the_tables_alone(done, tmp_path, unsaved):
    out, rows, claims, *_ = done
    for name in ("rows.csv", "history.csv", "runs.csv", "recipe.json", "triggers.npz"):
        (tmp_path / name).write_bytes((out / name).read_bytes())
    again, verdicts, made = conclude(tmp_path)
    pd.testing.assert_frame_equal(again, rows)
    pd.testing.assert_frame_equal(verdicts, claims)
    assert {path.name for path in made} >= {"claims.csv", "report.md", "forest.pdf", "alignment_map-1col.png"}
    assert all(path.is_file() for path in made)
    explored = (tmp_path / "report.html").read_text()
    for name in ("verdicts", "triggers", "cells", "readings", "confusion", "dynamics", "learning", "forest", "runs"):
        assert f'<h2 id="{name}">' in explored
    assert '<a href="rows.csv">' in explored
    report = (tmp_path / "report.md").read_text()
    for word in ("half-time gap", "supervised-dirty", "forest.png", "alignment_map.png", "predicates.json"):
        assert word in report
    for image in report.split("](")[1:]:
        link = image.partition(")")[0]
        assert link.startswith("http") or (tmp_path / link).is_file() or link == "predicates_c5.json"
    with pytest.raises(InputError, match=r"rows: .* is not there"):
        conclude(tmp_path / "nowhere")


def test_the_trained_encoders_are_shown_triggers_that_they_were_not_trained_on(done):
    _, rows, *_ = done
    unrelated = rows[rows["reference"] == "random-trigger"]
    assert set(unrelated["run"]) == {f"supervised-dirty/seed{seed}" for seed in (0, 1)}
    assert set(unrelated["measure"]) == {"asr", "r_acc"}
    assert set(unrelated["epoch"]) == {RECIPE.epochs}
    assert (unrelated["note"] == "mean of 3 patterns").all()


def test_predicates_and_recipe_are_there_before_anything_is_trained(tmp_path, monkeypatch):
    seen = []
    empty = lambda *a, **k: seen.append(sorted(os.listdir(tmp_path))) or iter(())  # noqa: E731
    monkeypatch.setitem(executors.ENGINES, "here", empty)
    with pytest.raises(InputError, match="study: no run could be trained"):
        study(RECIPE, tmp_path, **FEW)
    assert seen[0] == ["predicates.json", "recipe.json"]
    declared = json.loads((tmp_path / "predicates.json").read_text())
    assert declared["registered arms"] == ["supervised-dirty", "supervised-clean", "simclr-dirty", "simclr-clean"]
    assert declared["parts"]["C4"][0]["margin"] == 0.05


def test_a_finished_study_is_not_done_again(done):
    out, rows, *_ = done
    before = {p: p.stat().st_mtime_ns for p in (out / "runs").rglob("*") if p.is_file()}
    again, _, _ = study(RECIPE, out, **FEW)
    pd.testing.assert_frame_equal(again, rows)
    assert {p: p.stat().st_mtime_ns for p in (out / "runs").rglob("*") if p.is_file()} == before


def test_other_predicates_or_another_recipe_are_refused(small_study, monkeypatch):
    out = small_study[0]
    with pytest.raises(InputError, match=r"recipe\.json is not what this study would begin with"):
        study(RECIPE.replace(lr=1e-3), out, **FEW)
    from intertwine.analysis.claims import learning_claims

    monkeypatch.setattr(learning_claims, "LEVEL", 0.1)
    with pytest.raises(InputError, match=r"predicates\.json is not what this study would begin with"):
        study(RECIPE, out, **FEW)


def test_a_study_of_an_earlier_version_or_with_other_order_of_fields_goes_on(small_study, tmp_path):
    """What is compared is what the recipe says; runs from before a field was there did what its earlier value says."""
    for path in ("predicates.json", "recipe.json"):
        shutil.copy(small_study[0] / path, tmp_path / path)
    written = json.loads((tmp_path / "recipe.json").read_text())
    kept = {name: written[name] for name in reversed(written) if name not in EARLIER}
    recipe = RECIPE.replace(**EARLIER)
    (tmp_path / "recipe.json").write_text(json.dumps(kept))
    _declare(tmp_path, recipe, "native")
    with pytest.raises(InputError, match=r"recipe\.json is not what this study would begin with"):
        _declare(tmp_path, recipe.replace(pair_share=0.5), "native")
    (tmp_path / "recipe.json").write_text("nothing")
    with pytest.raises(InputError, match=r"recipe\.json is not what this study would begin with"):
        _declare(tmp_path, recipe, "native")


def test_more_seeds_are_added_to_what_is_there(small_study, little, tmp_path):
    shutil.copytree(small_study[0], out := tmp_path / "study")
    lines: list[str] = []
    more, _, _ = study(RECIPE, out, **FEW | {"seeds": 3}, log=lines.append)
    assert any("4 of 6 tasks are done already" in line for line in lines)
    assert set(more.seed) == {0, 1, 2}
    same, own = (
        rows[(rows.seed < 2) & (rows.kind != "coupling")].reset_index(drop=True) for rows in (more, small_study[1])
    )
    pd.testing.assert_frame_equal(same, own)


def test_failed_runs_are_listed_left_out_and_tried_again(small_study, little, tmp_path):
    """A folder that cannot be written stands for whatever goes wrong in one run; damaged weights for what goes wrong
    later."""
    shutil.copytree(small_study[0], out := tmp_path / "study")
    shutil.rmtree(out / "runs/supervised-dirty/seed1")
    (out / "runs/supervised-dirty/seed1").write_text("in the way")
    lines: list[str] = []
    rows, _, _ = study(RECIPE, out, **FEW, log=lines.append)
    assert set(rows.run) == {"supervised-dirty/seed0", "supervised-benign/seed0", "supervised-benign/seed1"}
    failures = pd.read_csv(out / "failures.csv")
    assert list(failures.task) == ["train supervised-dirty/seed1"]
    assert "below a file" in failures.error[0]
    assert any("failed: InputError" in line for line in lines)
    must_name_tables(out)
    (out / "runs/supervised-dirty/seed1").unlink()
    rows, _, _ = study(RECIPE, out, **FEW)
    assert "supervised-dirty/seed1" in set(rows.run)
    assert not (out / "failures.csv").exists()
    (out / "runs/supervised-dirty/seed1/encoder.safetensors").write_bytes(b"damaged")
    rows, _, _ = study(RECIPE, out, **FEW)
    assert "supervised-dirty/seed1" not in set(rows.run)
    assert list(pd.read_csv(out / "failures.csv").task) == ["train supervised-dirty/seed1"]


def test_runs_of_another_hash_are_listed_and_not_joined(small_study, little, tmp_path):
    shutil.copytree(small_study[0], out := tmp_path / "study")
    with pytest.raises(InputError, match=r"study: no run could be trained and measured: .* holds another run"):
        study(RECIPE, out, **FEW | {"seeds": 1}, threads=2)
    failures = pd.read_csv(out / "failures.csv")
    assert list(failures.task) == ["train supervised-benign/seed0", "train supervised-dirty/seed0"]
    assert failures.error.str.contains("holds another run: threads was 1 and is 2").all()


def alive_in_group(group):
    """Ids of its processes, without those that only wait to be buried."""
    found = []
    for path in Path("/proc").glob("[0-9]*/stat"):
        try:
            state, _, of, *_ = path.read_text().rpartition(")")[2].split()
        except OSError:  # it has ended meanwhile
            continue
        found += [path.parent.name] if int(of) == group and state != "Z" else []
    return found


def _alone(out):
    os.setsid()
    study(RECIPE, out, **FEW | {"engine": "local", "seeds": 1})


def test_killed_and_continued_it_ends_with_the_same_rows(done, tmp_path, monkeypatch):
    """Killed while it trains, its worker ends too; then interrupted between the tables of a measurement."""
    process = multiprocessing.get_context("fork").Process(target=_alone, args=(tmp_path,))
    process.start()
    while not list(tmp_path.glob("runs/*/*/snapshots")):
        assert process.is_alive(), "it ended before it could be killed"
        time.sleep(0.02)
    os.kill(process.pid, signal.SIGKILL)  # itself alone, as `kill` and the system's memory killer do
    process.join()
    end = time.monotonic() + 20
    while (left := alive_in_group(process.pid)) and time.monotonic() < end:
        time.sleep(0.05)
    assert not left, "its workers train on, into the folders of whoever continues"
    assert not (tmp_path / "rows.csv").exists(), "it was killed after its end"

    one = FEW | {"seeds": 1}

    def interrupted(*_, **__):
        raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr(tasks, "measure_dynamics", interrupted)
        with pytest.raises(KeyboardInterrupt):
            study(RECIPE, tmp_path, **one)
    measured = tmp_path / "runs/supervised-dirty/seed0"
    assert (measured / "rows.csv").is_file()
    assert not (measured / "measured.json").exists(), "one table of two does not stand"
    rows, _, _ = study(RECIPE, tmp_path, **one)
    expected = done[1][(done[1].seed < 1) & (done[1].kind != "coupling")]
    pd.testing.assert_frame_equal(rows[rows.kind != "coupling"], expected.reset_index(drop=True))


@pytest.mark.slow
def test_ray_gives_the_same_rows(done, tmp_path):
    """On a local instance, with the same number of threads."""
    ray = pytest.importorskip("ray", reason="in the extra `ray`, which the extra `test` has")
    try:
        rows, _, _ = study(RECIPE, tmp_path, **FEW | {"engine": "ray"}, jobs=2)
    finally:
        ray.shutdown()
    pd.testing.assert_frame_equal(rows, done[1])


def test_interventions_are_a_stage_of_their_own_joined_and_not_made_twice(done, tmp_path, unsaved):
    """On a copy of a study that had none; the benign arm is only what the other is held against."""
    out = tmp_path / "study"
    shutil.copytree(done[0], out)
    with_interventions, lines = FEW | {"seeds": 1, "interventions": True}, []
    rows, _, _ = study(RECIPE, out, **with_interventions, log=lines.append)
    must_fit_schema(rows, tmp_path)
    must_name_tables(out)
    assert [line.split("  ")[0] for line in lines if "intervene" in line] == ["[1/1] intervene supervised-dirty/seed0"]
    made = {"acc_barrier", "transplant_gain", "forgetting_coupling", "erasure_cost_acc", "matched_strength"}
    assert made <= set(rows.measure)
    assert made.isdisjoint(done[1].measure)
    ends = rows[rows.measure == "own_gradient_alignment"]
    assert {"", "benign", "random-trigger", "together"} <= set(ends.reference)
    assert set(ends[ends.reference == "together"].epoch) == set(ends[ends.reference == ""].epoch)
    judged = [
        of[of.measure.isin(["neighbour_mixing", "interference"])].reset_index(drop=True)
        for of in (final_rows(rows), final_rows(done[1][done[1].seed == 0]))
    ]
    pd.testing.assert_frame_equal(*judged, obj="what is judged, with and without interventions")

    table, stamp = (out / "runs/supervised-dirty/seed0" / name for name in ("interventions.csv", "intervened.json"))
    before = table.read_bytes()
    lines.clear()
    study(RECIPE, out, **with_interventions, log=lines.append)
    assert not any("intervene" in line for line in lines)
    held = stamp.read_bytes()
    stamp.unlink()  # killed before it was done: neither joined nor taken for done
    without, _, _ = study(RECIPE, out, **FEW | {"seeds": 1})
    assert made.isdisjoint(without.measure)
    stamp.write_bytes(held)
    again, _, _ = study(RECIPE, out, **with_interventions)
    assert table.read_bytes() == before
    pd.testing.assert_frame_equal(again, rows)

    *_, drawn = conclude(out)
    names = {path.name for path in drawn}
    assert {"interpolation.pdf", "interpolation-1col.png", "claims_matched.csv"} <= names
    report = (out / "report.md").read_text()
    for word in ("## Interventions", "forgetting coupling, ascent", "ACC barrier", "## Verdicts at an ASR of 0.5"):
        assert word in report


def test_tables_may_be_compressed(small_study, tmp_path, undrawn):
    out = small_study[0]
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


def test_a_study_may_go_by_the_ridge_probe_and_says_so_before_it_starts(small_study, little, tmp_path, undrawn):
    ridge = PanelOptions(evaluator="ridge")
    shutil.copytree(small_study[0], tmp_path / "study")
    with pytest.raises(InputError, match="another recipe, evaluator or other predicates; choose another folder"):
        study(RECIPE, tmp_path / "study", **FEW, options=ridge)
    shutil.copytree(small_study[0] / "runs", tmp_path / "other" / "runs")
    lines = []
    rows, *_ = study(RECIPE, tmp_path / "other", **FEW, options=ridge, log=lines.append)
    assert json.loads((tmp_path / "other" / "predicates.json").read_text())["evaluator"] == "ridge"
    assert sum("measure" in line for line in lines) == 4
    assert sum("train" in line and "s wall" in line for line in lines) == 0
    asr = select(rows, "asr", arm="supervised-dirty")
    assert set(asr[asr.decides].evaluator) == {"ridge"}
    assert asr.groupby(["run", "epoch"])["decides"].sum().eq(1).all()
    conclude(tmp_path / "other")
    assert "by the ridge probe" in (tmp_path / "other" / "report.md").read_text()


def test_what_it_refuses(tmp_path):
    for changes, message in (
        ({"arms": ["supervised"]}, r"arms: expected some of .* received 'supervised'"),
        ({"arms": []}, r"arms: expected some of .* received none"),
        ({"arms": ["badencoder"]}, "arms: expected arms that are trained from the start, received 'badencoder'"),
        ({"seeds": 0}, "seeds: expected at least 1, received 0"),
        ({"first_seed": -1}, "first_seed: expected 0 or more, received -1"),
        ({"engine": "slurm"}, r"engine: expected one of local, ray.*, received 'slurm'"),
    ):
        with pytest.raises(InputError, match=message):
            study(RECIPE, tmp_path / "out", **FEW | changes)
        assert not (tmp_path / "out").exists()


def test_the_eight_arms_are_those_of_the_plan_with_their_benign_twins():
    assert len(STUDY_ARMS) == 9
    assert {ARMS[arm].benign for arm in STUDY_ARMS} <= set(STUDY_ARMS)


def test_seeds_are_added_until_enough_attacks_have_worked(little, undrawn, tmp_path, monkeypatch):
    """The backdoors of small runs do not work: every seed up to the largest number is trained, and said why."""
    lines: list[str] = []
    few = FEW | {"seeds": 1, "arms": ("supervised-dirty",)}
    rows, *_ = study(RECIPE, tmp_path / "study", **few, most_seeds=2, log=lines.append)
    assert set(rows.seed) == {0, 1}
    assert sum("fewer than 1 successes after seed" in line for line in lines) == 2
    monkeypatch.setattr(sys.modules[study.__module__], "_few_successes", lambda *_: [])
    rows, *_ = study(RECIPE, tmp_path / "works", **few, most_seeds=2)
    assert set(rows.seed) == {0}
    with pytest.raises(InputError, match="most_seeds: expected at least the 3 seeds, received 2"):
        study(RECIPE, tmp_path / "none", **few | {"seeds": 3}, most_seeds=2)
