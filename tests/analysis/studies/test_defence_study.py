"""Cells of defence and run are done once, whatever was killed or touched."""

import json
import shutil

import pandas as pd
import pytest
from intertwine.analysis.defences.outcomes import mitigations
from intertwine.analysis.panel import PanelOptions
from intertwine.analysis.results.table import read_rows
from intertwine.analysis.studies import defence_study
from intertwine.analysis.studies.defence_conclusion import conclude_defences
from intertwine.analysis.studies.defence_study import defend
from intertwine.representations.errors import InputError

from tests.analysis.schema_checks import must_fit_schema, must_name_tables
from tests.factories import select

FEW = {
    **{"only": ["spectral", "luminance"], "device": "cpu", "engine": "here"},
    "options": PanelOptions(images=100, bank=100),
}


@pytest.fixture
def runs(small_runs, tmp_path):
    """A copy of the small runs, whose cells are written into their folders."""
    shutil.copytree(small_runs, tmp_path / "runs", ignore=shutil.ignore_patterns("defences"))
    return tmp_path / "runs"


def test_cells_are_done_once_and_again_when_their_table_was_touched(runs, tmp_path, undrawn):
    out, lines = tmp_path / "out", []
    rows, _ = defend([runs], out, **FEW, log=lines.append)
    assert "0 of 4 cells are done already" in lines, "mitigations, and no treatment, on poisoned runs only"
    assert all("s CPU" in line for line in lines[1:])
    pd.testing.assert_frame_equal(read_rows(out / "defences.csv"), rows)
    must_fit_schema(rows, tmp_path)
    assert {"defences.csv", "claims.csv"} & must_name_tables(out) == {"defences.csv"}
    assert must_name_tables(runs) >= {"history.csv", "spectral.csv", "luminance.csv", "none.csv"}
    page = (out / "defences.md").read_text()
    assert "# Defences" in page
    assert "| luminance |" in page
    assert json.loads((out / "recipes.json").read_text())["small"]["data"] == "digits"
    explored = (out / "report.html").read_text()
    assert "<dt>Trigger</dt><dd>blend, strength 0.4</dd>" in explored
    assert 'href="defences.csv"' in explored
    drawn = sorted((out / "figures").glob("*.pdf"))
    assert drawn
    written = conclude_defences(out)
    assert {path for path in written if path.suffix == ".pdf"} == set(drawn)
    assert (out / "defences.md").read_text() == page
    lines.clear()
    again, _ = defend([runs], out, **FEW, log=lines.append)
    assert lines == ["4 of 4 cells are done already"]
    pd.testing.assert_frame_equal(again, rows)
    cell = runs / "supervised-dirty" / "seed0" / "defences" / "spectral.csv"
    cell.write_text(cell.read_text().replace(",ok", ",undefined"))
    lines.clear()
    defend([runs], out, **FEW, log=lines.append)
    assert lines[0] == "3 of 4 cells are done already"
    lines.clear()
    defend([runs], out, **FEW | {"only": ["spectral"]}, budget=0.2, log=lines.append)
    assert lines[0] == "0 of 2 cells are done already", "another budget is another cell"


def test_rates_after_mitigations_are_by_the_evaluator_that_was_declared(runs, tmp_path, undrawn):
    few, lines = FEW | {"only": ["luminance"]}, []
    ridge = PanelOptions(images=100, bank=100, evaluator="ridge")
    rows, _ = defend([runs], tmp_path / "ridge", **few | {"options": ridge}, log=lines.append)
    assert json.loads((tmp_path / "ridge" / "predicates_c5.json").read_text())["evaluator"] == "ridge"
    page = (tmp_path / "ridge" / "defences.md").read_text()
    assert "Rates after mitigations are by the ridge probe." in page
    for name in ("knn", "ridge"):
        line = mitigations(rows, name).set_index("defence").loc["luminance"]
        own = select(rows, "asr", other_run="", defence="luminance", evaluator=name)
        assert [line["asr"]] == own["value"].tolist()
    conclude_defences(tmp_path / "ridge")
    assert (tmp_path / "ridge" / "defences.md").read_text() == page, "the declaration stands, not the default"
    with pytest.raises(InputError, match=r"evaluator: expected ridge, by which .* was begun, received knn"):
        defend([runs], tmp_path / "ridge", **few)
    lines.clear()
    defend([runs], tmp_path / "knn", **few, log=lines.append)
    assert lines[0] == "2 of 2 cells are done already", "cells hold the rates of both"
    assert "evaluator" not in json.loads((tmp_path / "knn" / "predicates_c5.json").read_text())


def test_what_it_refuses(small_runs, tmp_path):
    for runs, only, message in (
        (small_runs, ["magic"], r"only: expected some of activation-clustering, .* received 'magic'"),
        (small_runs, [], r"only: expected some of .* received none"),
        (small_runs / "supervised-benign", ["luminance"], "run: expected poisoned runs with their benign twins"),
    ):
        with pytest.raises(InputError, match=message):
            defend([runs], tmp_path / "out", **FEW | {"only": only})
    assert not (tmp_path / "out").exists()


def test_a_killed_study_of_defences_goes_on(runs, tmp_path, monkeypatch, undrawn):
    """A cell that dies leaves no stamp, is told, and is all that is done again."""
    real, died = defence_study.detection_rows, []

    def dies_once(run, name, **settings):
        if name == "spectral" and not died:
            died.append(run.name)
            raise MemoryError("no memory left")
        return real(run, name, **settings)

    def dies(run, name, **settings):
        raise MemoryError("no memory left")

    few, out = FEW | {"only": ["spectral"]}, tmp_path / "out"
    monkeypatch.setattr(defence_study, "detection_rows", dies)
    with pytest.raises(InputError, match="defend: no cell could be done: MemoryError: no memory left"):
        defend([runs], tmp_path / "none", **few)
    monkeypatch.setattr(defence_study, "detection_rows", dies_once)
    lines: list[str] = []
    rows, written = defend([runs], out, **few, log=lines.append)
    assert len(died) == 1
    assert any("failed: MemoryError: no memory left" in line for line in lines)
    assert out / "failures.csv" in written
    assert died[0] not in set(rows["run"])
    must_name_tables(out)
    lines.clear()
    rows, written = defend([runs], out, **few, log=lines.append)
    assert lines[0] == "1 of 2 cells are done already"
    assert died[0] in set(rows["run"])
    assert not (out / "failures.csv").exists()
