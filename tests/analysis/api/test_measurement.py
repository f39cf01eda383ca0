"""``measure``: the same rows as below it, and what an object of them offers."""

import io

import matplotlib
import numpy as np
import pandas as pd
import pytest
from intertwine.analysis import PanelOptions, measure
from intertwine.analysis.api import parquet
from intertwine.analysis.runs import measure_run
from intertwine.analysis.runs.side_tables import shown_images
from intertwine.representations import InputError
from matplotlib.figure import Figure
from PIL import Image

from tests.factories import few_blocks

FEW = {"images": 100, "bank": 100}


@pytest.fixture(scope="module")
def measured(small):
    with few_blocks():
        return measure(small, readings="cheap", **FEW)


def test_rows_are_those_of_the_panel_with_the_twin_that_was_found(measured, small):
    with few_blocks():
        rows = measure_run(small, small.twin, PanelOptions("cheap", **FEW))
    pd.testing.assert_frame_equal(measured.table, rows)
    assert "benign" in set(measured.table["reference"])
    assert "ACC" in measured.summary()
    assert max(len(line) for line in measured.summary(width=80).splitlines()) <= 80


def test_its_text_is_short_and_says_what_it_is(measured):
    assert len(repr(measured).splitlines()) <= 5
    assert "supervised-dirty/seed0" in repr(measured)
    assert measured._repr_html_().count("<tr") == len(measured.lines) + 1
    assert "random trigger" not in measured.lines.columns, "it was not measured"


def test_latex_has_every_reading(measured):
    text = measured.to_latex()
    assert text.count(r"\\") == len(measured.lines) + 1
    assert r"\toprule" in text
    assert r"asr [native]" in text


def test_figures_go_into_given_axes(measured):
    figure = Figure()
    axes = figure.subplots(1, 3)
    for ax, kind in zip(axes, ("readings", "embedding", "spectrum"), strict=True):
        assert measured.plot(kind, ax=ax) is ax
        assert ax.lines or ax.collections
    assert isinstance(measured.plot("spectrum"), Figure)
    assert not matplotlib._pylab_helpers.Gcf.figs, "pyplot knows nothing of them"
    with pytest.raises(InputError, match="kind: expected one of readings, embedding, spectrum, received 'umap'"):
        measured.plot("umap")


def test_all_of_it_is_written(measured, tmp_path):
    written = measured.save(tmp_path / "out")
    assert all(path.is_file() for path in written)
    assert {"rows.csv", "embedding.csv", "spectrum.csv", "readings.png", "embedding.pdf"} <= {p.name for p in written}


def test_an_embedding_with_its_thumbnails(measured, tmp_path):
    pytest.importorskip("pyarrow")
    found = pd.read_parquet(measured.to_parquet(tmp_path / "deep/images.parquet"))
    assert found["x"].tolist() == measured.embedding["x"].tolist()
    pictures = [np.array(Image.open(io.BytesIO(cell["bytes"]))) for cell in found["image_png"]]
    first = shown_images(measured.run, most=100)[0].images[0]
    assert len(pictures) == len(measured.embedding) > 100
    assert (pictures[0] == first.permute(1, 2, 0).numpy()).all()


def test_without_pyarrow_the_extra_is_named(measured, tmp_path, monkeypatch):
    monkeypatch.setattr(parquet.importlib.util, "find_spec", lambda name: None)
    with pytest.raises(InputError, match=r"pip install 'intertwine\[parquet\]'"):
        measured.to_parquet(tmp_path / "x.parquet")


def test_arguments_of_loading_need_a_name(small):
    with pytest.raises(InputError, match="data, trigger: expected with a name, received with a run that is loaded"):
        measure(small, data="digits", trigger="patch:x.png")
