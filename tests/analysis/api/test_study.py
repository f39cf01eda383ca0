"""``study``: the tables of a study as an object."""

import importlib

import pandas as pd
import pytest
from intertwine.analysis import study
from intertwine.representations import InputError

from tests.factories import row, table

module_of = importlib.import_module("intertwine.analysis.api.study")  # the function has the same name


@pytest.fixture
def result(tmp_path, monkeypatch):
    """A study whose runs and pages are written by someone else."""
    asked = {}
    rows = table(*(row(f"supervised-{p}/seed{s}", "acc", 0.9) for p in ("benign", "dirty") for s in (0, 1)))
    folder = tmp_path / "study"

    def run(recipe, out, **options):
        asked.update(recipe=recipe, **options)
        (out / "figures").mkdir(parents=True)
        for name in ("rows.csv", "figures/forest.png"):
            (out / name).touch()
        return rows, pd.DataFrame(), [out / "rows.csv"]

    monkeypatch.setattr(module_of, "run_study", run)
    written = [folder / "rows.csv", folder / "figures/forest.png"]
    monkeypatch.setattr(module_of, "conclude", lambda out: (rows, pd.DataFrame(), written))
    found = study("digits-demo", out=folder, arms=["supervised-dirty"], seeds=2, fields={"epochs": 3}, jobs=2)
    return found, asked


def test_what_is_asked_for_is_run(result):
    found, asked = result
    assert asked["recipe"].epochs == 3
    assert (asked["arms"], asked["seeds"], asked["jobs"]) == (["supervised-dirty"], 2, 2)
    assert "4 runs of 2 arms" in repr(found)
    assert len(repr(found).splitlines()) <= 5


def test_its_files_are_copied_without_the_runs(result, tmp_path):
    copies = result[0].save(tmp_path / "copy")
    assert [p.relative_to(tmp_path / "copy").as_posix() for p in copies] == ["rows.csv", "figures/forest.png"]
    assert all(p.is_file() for p in copies)
    with pytest.raises(InputError, match="kind: expected one of two_factors, claims, dynamics, received 'x'"):
        result[0].plot("x")


def test_an_unknown_field_is_named(tmp_path):
    with pytest.raises(InputError, match="epoch"):
        study("digits-demo", out=tmp_path, fields={"epoch": 3})
