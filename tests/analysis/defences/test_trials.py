"""Cells of defence and run are done once, whatever was killed or touched."""

import json

import pandas as pd
import pytest
from intertwine.analysis.defences.outcomes import mitigations
from intertwine.analysis.reports.defence_report import conclude_defences
from intertwine.analysis.results.table import read_rows
from intertwine.analysis.studies import defence_study as trials
from intertwine.analysis.studies import executors as engines
from intertwine.analysis.studies.defence_study import defend
from intertwine.representations.errors import InputError

FEW = {"only": ["spectral", "luminance"], "device": "cpu", "engine": "here"}


@pytest.fixture(autouse=True)
def here(monkeypatch):
    monkeypatch.setitem(engines.ENGINES, "here", lambda work, tasks, lost, *, jobs, threads: map(work, tasks))


def test_cells_are_done_once_and_again_when_their_table_was_touched(small_runs, tmp_path):
    lines: list[str] = []
    rows, _ = defend([small_runs], tmp_path, **FEW, log=lines.append)
    assert "0 of 4 cells are done already" in lines, "mitigations, and no treatment, on poisoned runs only"
    assert all("s CPU" in line for line in lines[1:])
    pd.testing.assert_frame_equal(read_rows(tmp_path / "defences.csv"), rows, check_dtype=False)
    page = (tmp_path / "defences.md").read_text()
    assert page.startswith("# Defences")
    assert "| luminance |" in page
    drawn = sorted((tmp_path / "figures").glob("*.pdf"))
    assert drawn
    written = conclude_defences(tmp_path)
    assert {path for path in written if path.suffix == ".pdf"} == set(drawn)
    assert (tmp_path / "defences.md").read_text() == page
    lines.clear()
    again, _ = defend([small_runs], tmp_path, **FEW, log=lines.append)
    assert lines == ["4 of 4 cells are done already"]
    pd.testing.assert_frame_equal(again, rows)
    cell = small_runs / "supervised-dirty" / "seed0" / "defences" / "spectral.csv"
    cell.write_text(cell.read_text().replace(",ok", ",undefined"))
    lines.clear()
    defend([small_runs], tmp_path, **FEW, log=lines.append)
    assert lines[0] == "3 of 4 cells are done already"
    lines.clear()
    defend([small_runs], tmp_path, **FEW, budget=0.2, log=lines.append)
    assert lines[0] == "0 of 4 cells are done already", "another budget is another cell"


def test_rates_after_mitigations_are_by_the_evaluator_that_was_declared(small_runs, tmp_path):
    few, lines = FEW | {"only": ["luminance"]}, []
    rows, _ = defend([small_runs], tmp_path, **few, evaluator="ridge", log=lines.append)
    assert json.loads((tmp_path / "predicates_c5.json").read_text())["evaluator"] == "ridge"
    assert "Rates after mitigations are by the ridge probe." in (tmp_path / "defences.md").read_text()
    for name in ("knn", "ridge"):
        line = mitigations(rows, name).set_index("defence").loc["luminance"]
        own = rows[(rows["measure"] == "asr") & (rows["reference"] == "") & (rows["run_b"] == "")]
        own = own[own["params"].str.contains("defence=luminance") & own["params"].str.contains(f"evaluator={name}")]
        assert [line["asr"]] == own["value"].tolist()
    page = (tmp_path / "defences.md").read_text()
    conclude_defences(tmp_path)
    assert (tmp_path / "defences.md").read_text() == page, "the declaration stands, not the default"
    with pytest.raises(InputError, match=r"evaluator: expected ridge, by which .* was begun, received knn"):
        defend([small_runs], tmp_path, **few)
    lines.clear()
    defend([small_runs], tmp_path / "knn", **few, log=lines.append)
    assert lines[0] == "2 of 2 cells are done already", "cells hold the rates of both"
    assert "evaluator" not in json.loads((tmp_path / "knn" / "predicates_c5.json").read_text())
    with pytest.raises(InputError, match="evaluator: expected one of knn, ridge, received 'svm'"):
        defend([small_runs], tmp_path / "svm", **few, evaluator="svm")
    (tmp_path / "knn" / "predicates_c5.json").write_text("[]")
    with pytest.raises(InputError, match=r"predicates_c5.json cannot be read"):
        conclude_defences(tmp_path / "knn")


def test_what_it_refuses(small_runs, tmp_path):
    with pytest.raises(InputError, match=r"only: expected some of activation-clustering, .* received 'magic'"):
        defend([small_runs], tmp_path / "out", **FEW | {"only": ["magic"]})
    clean = small_runs / "supervised-benign"
    with pytest.raises(InputError, match="run: expected poisoned runs with their benign twins"):
        defend([clean], tmp_path / "out", **FEW | {"only": ["luminance"]})
    assert not (tmp_path / "out").exists()


def test_a_killed_study_of_defences_goes_on(small_runs, tmp_path, monkeypatch):
    """A cell that dies leaves no stamp, is told, and is all that is done again."""
    real, died = trials.detection_rows, []

    def dies_once(run, name, **settings):
        if name == "spectral" and not died:
            died.append(run.name)
            raise MemoryError("no memory left")
        return real(run, name, **settings)

    monkeypatch.setattr(trials, "detection_rows", dies_once)
    few = FEW | {"only": ["spectral"], "budget": 0.11}
    lines: list[str] = []
    rows, written = defend([small_runs], tmp_path, **few, log=lines.append)
    assert len(died) == 1
    assert any("failed: MemoryError: no memory left" in line for line in lines)
    assert tmp_path / "failures.csv" in written
    assert died[0] not in set(rows["run"])
    lines.clear()
    rows, written = defend([small_runs], tmp_path, **few, log=lines.append)
    assert lines[0] == "1 of 2 cells are done already"
    assert died[0] in set(rows["run"])
    assert not (tmp_path / "failures.csv").exists()
