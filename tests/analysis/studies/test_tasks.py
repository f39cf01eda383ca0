"""A task is done once: what anything else has written since, or other settings, do not pass for it."""

import json
import shutil

import pandas as pd
from intertwine.analysis.panel import PanelOptions
from intertwine.analysis.results.table import write_rows
from intertwine.analysis.studies.study import study
from intertwine.analysis.studies.tasks import INTERVENTIONS, is_done, needs, stamp, tasks_of

from tests.analysis.studies.conftest import FEW, RECIPE
from tests.factories import row, table

HOW = {"data_root": None, "device": "cpu", "threads": 1}


def test_each_stage_has_its_tasks_below_the_study(tmp_path):
    recipes = [RECIPE.replace(arm=arm, seed=3) for arm in ("supervised-benign", "supervised-dirty")]
    benign, dirty = (tmp_path.resolve() / "runs" / arm / "seed3" for arm in ("supervised-benign", "supervised-dirty"))
    measured = tasks_of("measure", recipes, tmp_path, PanelOptions(), **HOW)
    assert [needs(task) for task in measured] == [[benign], [dirty, benign]]
    assert measured[1].name == "measure supervised-dirty/seed3"
    (intervened,) = tasks_of("intervene", recipes, tmp_path, PanelOptions(), **HOW)
    assert intervened.folder == dirty, "there is nothing to intervene in where an encoder is benign"
    assert not any(is_done(task) for task in [*measured, intervened])


def test_a_table_that_anything_else_has_written_is_measured_again(small_study, little, tmp_path):
    """A stamp stands for the tables beside it; a measurement that was killed leaves none."""
    shutil.copytree(small_study[0], out := tmp_path / "study")
    one = FEW | {"seeds": 1}
    expected, _, _ = study(RECIPE, out, **one)
    touched = out / "runs/supervised-dirty/seed0/rows.csv"
    touched.write_text(touched.read_text().replace(",ok", ",undefined"))
    again, _, _ = study(RECIPE, out, **one)
    pd.testing.assert_frame_equal(again, expected)
    study(RECIPE, out, **one, options=PanelOptions(images=100))  # another setting, and back
    back, _, _ = study(RECIPE, out, **one)
    pd.testing.assert_frame_equal(back, expected)


def test_another_bank_is_another_measurement(small_study, little, tmp_path):
    shutil.copytree(small_study[0], out := tmp_path / "study")
    lines: list[str] = []
    again, *_ = study(RECIPE, out, **FEW, options=PanelOptions(bank=100), log=lines.append)
    assert sum("measure" in line for line in lines) == 4, "what was read with more images does not stand"
    assert not any("train" in line and "s wall" in line for line in lines)
    notes = [rows[rows.evaluator == "knn"].note.str.partition(";")[0].iloc[0] for rows in (small_study[1], again)]
    assert notes == ["k = 6", "k = 2"]


def test_interventions_that_were_done_are_in_the_rows_of_a_study(small_study, little, tmp_path):
    out = tmp_path / "study"
    shutil.copytree(small_study[0] / "runs", out / "runs")
    (task,) = tasks_of("intervene", [RECIPE.replace(arm="supervised-dirty")], out, PanelOptions(), **HOW)
    made = table(row("supervised-dirty/seed0", "asr_half_point", 0.5, epoch=RECIPE.epochs))
    write_rows(made, task.folder / INTERVENTIONS)
    (task.folder / "intervened.json").write_text(json.dumps(stamp(task)))
    assert is_done(task)
    rows, *_ = study(RECIPE, out, **FEW | {"seeds": 1})
    assert "asr_half_point" in set(rows.measure)
