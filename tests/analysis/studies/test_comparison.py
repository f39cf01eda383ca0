"""Several runs together: measured where they were not, refused where they are no contrast of arms, reported."""

import shutil

import pandas as pd
import pytest
from intertwine.analysis.panel import PanelOptions
from intertwine.analysis.reports import drawing
from intertwine.analysis.results.table import read_rows, write_rows
from intertwine.analysis.runs.measurement import measure_folder
from intertwine.analysis.runs.run import load_run
from intertwine.analysis.studies import comparison
from intertwine.analysis.studies.comparison import compare
from intertwine.representations.errors import InputError

from tests.analysis.schema_checks import must_fit_schema, must_name_tables
from tests.factories import few_blocks, trained

OPTIONS = PanelOptions("neighbour_mixing", layers=["features"], images=100, bank=100)


@pytest.fixture
def runs(measured_runs, tmp_path):
    shutil.copytree(measured_runs, tmp_path / "runs")
    return tmp_path / "runs"


@pytest.fixture
def undrawn(monkeypatch):
    monkeypatch.setattr(comparison, "draw_all", lambda folders, rows, out, **more: [])


def compared(runs, out, **more):
    lines: list[str] = []
    return *compare([runs], out, options=OPTIONS, log=lines.append, **more), lines


def test_what_is_measured_is_joined_judged_and_reported(runs, tmp_path, undrawn):
    rows, claims, written, lines = compared(runs, tmp_path / "out")
    assert lines == ["drawing figures"], "nothing is measured again"
    must_fit_schema(rows, tmp_path)
    assert must_name_tables(tmp_path / "out") == {"rows.csv", "claims.csv"}
    assert {path.name for path in written} == {"rows.csv", "claims.csv", "report.md", "report.html"}
    assert set(rows[rows.reference == "benign"].other_run) == {"supervised-benign/seed0"}
    assert set(claims.claim) == {"C2"}


def test_what_is_not_whole_or_not_beside_its_twin_is_measured(runs, tmp_path, undrawn):
    dirty = runs / "supervised-dirty" / "seed0"
    (dirty / "spectrum.csv").unlink()
    *_, lines = compared(runs, tmp_path / "out")
    assert lines[0] == f"measuring {dirty} against {runs / 'supervised-benign' / 'seed0'}"
    assert (dirty / "spectrum.csv").is_file()
    alone = tmp_path / "alone"
    shutil.copytree(dirty, alone / "seed0")
    *_, lines = compared(alone, tmp_path / "out")
    assert lines[0] == f"measuring {alone / 'seed0'}", "its benign twin is not among the runs"
    *_, lines = compared(alone, tmp_path / "out")
    assert lines == ["drawing figures"]


def test_layers_of_two_ways_of_learning_are_compared_once(runs, tmp_path, unsaved, monkeypatch):
    trained(runs / "simclr-clean" / "seed0", "simclr-clean")
    drawings = drawing._drawings
    monkeypatch.setattr(drawing, "_drawings", lambda *told: {"geometry": drawings(*told)["geometry"]})
    with few_blocks():
        measure_folder(runs / "simclr-clean" / "seed0", None, PanelOptions("cheap", images=100, bank=100))
    rows, claims, written, lines = compared(runs, tmp_path / "out", load=lambda folder: load_run(folder, device="cpu"))
    supervised, contrastive = (runs / arm / "seed0" for arm in ("supervised-dirty", "simclr-clean"))
    assert f"comparing the layers of {supervised} and {contrastive}" in lines
    table = pd.read_csv(contrastive / "layer_cka.csv")
    assert set(table["other_run"]) == {"simclr-clean/seed0"}
    must_name_tables(runs)
    assert {"geometry.pdf", "geometry-1col.png"} <= {path.name for path in written}
    report = (tmp_path / "out" / "report.md").read_text()
    assert "](figures/geometry.png)" in report
    assert set(claims.claim) == {"C2", "C3", "C4"}
    must_fit_schema(rows, tmp_path)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(comparison, "draw_all", lambda folders, rows, out, **more: [])
        *_, lines = compared(runs, tmp_path / "out")
    assert not any("comparing" in line for line in lines)


def test_runs_that_are_no_contrast_of_arms_are_refused(runs, tmp_path, undrawn):
    shutil.copytree(runs / "supervised-dirty" / "seed0", runs / "again")
    with pytest.raises(InputError, match="run: expected each arm and seed once, received supervised-dirty/seed0 more"):
        compared(runs, tmp_path / "out")
    shutil.rmtree(runs / "again")
    trained(runs / "other", "simclr-clean", epochs=1)
    with pytest.raises(InputError, match=r"expected one recipe .* has epochs . for . of"):
        compared(runs, tmp_path / "out")
    shutil.rmtree(runs / "other")
    path = runs / "supervised-benign" / "seed0" / "rows.csv"
    rows = read_rows(path)
    write_rows(rows.assign(decides=rows["evaluator"] == "ridge"), path)
    with pytest.raises(
        InputError, match="run: expected rows by one evaluator, received native and ridge; measure some a"
    ):
        compared(runs, tmp_path / "out")
    assert not (tmp_path / "out").exists()


def test_without_plotly_it_is_said_how_to_get_the_other_report(runs, tmp_path, undrawn, monkeypatch):
    monkeypatch.setattr(comparison.importlib.util, "find_spec", lambda name: None)
    _, _, written, lines = compared(runs, tmp_path / "out", notice="Not for conclusions.")
    assert lines[-1] == "no report.html: pip install 'intertwine[report]' for the interactive report"
    assert "report.html" not in {path.name for path in written}
    assert "> **Not for conclusions.**" in (tmp_path / "out" / "report.md").read_text()
