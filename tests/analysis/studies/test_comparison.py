"""Several runs together: measured where they were not, refused where they are no contrast of arms, reported."""

import shutil
from dataclasses import replace

import pandas as pd
import pytest
import torch
from intertwine.analysis.panel import PanelOptions
from intertwine.analysis.reports import drawing
from intertwine.analysis.results.table import read_rows, write_rows
from intertwine.analysis.runs.measurement import measure_folder
from intertwine.analysis.runs.run import ZOO_COPIES, about_run, find_runs, load_run
from intertwine.analysis.runs.twins import benign_twin_of
from intertwine.analysis.studies import comparison
from intertwine.analysis.studies.comparison import compare
from intertwine.checkpoints.shipped import resolve
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
    drawings = drawing.drawings_of
    monkeypatch.setattr(drawing, "drawings_of", lambda *told: {"geometry": drawings(*told)["geometry"]})
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


def test_other_options_measure_copies_once(runs, tmp_path, undrawn):
    """Rows by other options must not pass for those of a run."""
    before = {path: path.read_bytes() for path in runs.rglob("rows.csv")}
    out = tmp_path / "out"
    rows, _, _, lines = compared(runs, out, apart=True)
    assert {path: path.read_bytes() for path in runs.rglob("rows.csv")} == before
    assert [line for line in lines if line.startswith("measuring")] != []
    assert set(rows["run"]) == {"supervised-benign/seed0", "supervised-dirty/seed0"}
    assert (out / "runs/supervised-dirty/seed0/rows.csv").is_file()
    assert not (out / "runs/supervised-dirty/seed0/snapshots").exists()
    *_, lines = compared(runs, out, apart=True)
    assert lines == ["drawing figures"], "nothing is measured again"
    changed = replace(OPTIONS, images=120)
    lines = []
    compare([runs], out, options=changed, apart=True, log=lines.append)
    assert len([line for line in lines if line.startswith("measuring")]) == 2, "by other options"


def test_the_layers_of_any_two_arms_are_compared(runs, tmp_path, undrawn):
    pair = ("supervised-benign", "supervised-dirty")
    *_, lines = compared(runs, tmp_path / "out", pair=pair, load=lambda folder: load_run(folder, device="cpu"))
    assert any(line.startswith("comparing the layers of") for line in lines)
    table = pd.read_csv(runs / "supervised-dirty/seed0/layer_cka.csv")
    assert set(table["run"]) == {"supervised-benign/seed0"}
    folders = [runs / arm / "seed0" for arm in pair]
    assert len(drawing._layer_cka(folders, pair)) == len(table)
    assert drawing._layer_cka(folders, pair[::-1]).empty, "an earlier pair is not drawn for another"


def test_encoders_of_the_zoo_are_runs_too(tmp_path, monkeypatch, undrawn):
    """They are copied with their benign twins, and measured there."""
    monkeypatch.chdir(tmp_path)
    (dirty, benign) = find_runs(["zoo:cifar10-supervised-sig-dirty"])
    assert benign == ZOO_COPIES / "cifar10-supervised-sig-benign"
    found, shipped = load_run(dirty, device="cpu"), load_run(resolve("zoo:cifar10-supervised-sig-dirty"), device="cpu")
    assert torch.equal(found.data.images, shipped.data.images), "with the images that ship"
    about = {folder: about_run(folder) for folder in (dirty, benign)}
    assert benign_twin_of(dirty, about) == benign
    assert find_runs(["zoo:cifar10-supervised-sig-dirty"]) == [dirty, benign], "copied once"


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


def test_a_notice_is_on_both_pages(runs, tmp_path, undrawn):
    compared(runs, tmp_path / "out", notice="Not for conclusions.")
    assert "> **Not for conclusions.**" in (tmp_path / "out" / "report.md").read_text()
    page = (tmp_path / "out" / "report.html").read_text()
    assert '<p class="notice">Not for conclusions.</p>' in page
    assert '<h2 id="map">' in page
