"""Files come out the same twice, whole or not at all; panels and labels do not overlap."""

import os
import subprocess
import sys

import matplotlib
import numpy as np
import pandas as pd
import pytest
from intertwine.figures import (
    ONE_COLUMN,
    TWO_COLUMN,
    arrows,
    defence_map,
    dynamics,
    embeddings,
    geometry,
    readings,
    roc,
    save,
    two_factors,
)
from matplotlib.figure import Figure

from tests.figures.frames import (
    ARMS,
    FIGURES,
    TITLES,
    crossed,
    curves,
    frame,
    history,
    moved,
    points,
    row,
    tried,
    two_ways,
)


@pytest.mark.parametrize("name", ["dynamics", "embeddings", "readings", "alignment", "gallery"])
def test_same_input_same_bytes(tmp_path, name):
    first, again = FIGURES[name](), FIGURES[name]()
    paths = save(first, tmp_path / "a") + save(first, tmp_path / "b") + save(again, tmp_path / "c")
    assert [path.name for path in paths] == ["a.pdf", "a.png", "b.pdf", "b.png", "c.pdf", "c.png"]
    pdf, png = ([path.read_bytes() for path in paths if path.suffix == suffix] for suffix in (".pdf", ".png"))
    assert len(set(pdf)) == len(set(png)) == 1
    assert b"/Type0" in pdf[0]  # fonts are embedded as TrueType
    assert b"CreationDate" not in pdf[0]


def test_where_the_solver_lies_in_memory_leaves_no_trace():
    """Its sums differ by 1e-14 from drawing to drawing, which changed the last digits of a file in one of five."""
    for name, draw in FIGURES.items():
        for axes in draw().findobj(matplotlib.axes.Axes):
            place = axes.get_position(original=True).get_points()
            assert np.abs(place - place.round(6)).max() < 1e-15, name


def test_same_bytes_in_another_process(tmp_path):
    code = (
        "import sys, pandas as pd; from intertwine.figures import readings, save;"
        "save(readings(pd.read_json(sys.argv[1]), measures=['neighbour_mixing']), sys.argv[2])"
    )
    frame(row(), row("byol-clean"), row(reference="benign")).to_json(tmp_path / "rows.json")
    command = [sys.executable, "-c", code, tmp_path / "rows.json", tmp_path / "there"]
    subprocess.run(command, check=True, env={**os.environ, "PYTHONHASHSEED": "1"})  # hashes of texts differ here
    save(readings(pd.read_json(tmp_path / "rows.json"), measures=["neighbour_mixing"]), tmp_path / "here")
    for suffix in ("pdf", "png"):
        assert (tmp_path / f"there.{suffix}").read_bytes() == (tmp_path / f"here.{suffix}").read_bytes()


def test_makes_folders_keeps_dots_and_leaves_nothing_else(tmp_path):
    save(Figure(), tmp_path / "new" / "rate-0.5")
    assert sorted(path.name for path in (tmp_path / "new").iterdir()) == ["rate-0.5.pdf", "rate-0.5.png"]


def test_a_failure_leaves_the_old_file(tmp_path, monkeypatch):
    (tmp_path / "a.pdf").write_text("old")

    def fail(self, path, **_):
        path.write_text("half")
        raise OSError("disk full")

    monkeypatch.setattr(Figure, "savefig", fail)
    with pytest.raises(OSError, match="disk full"):
        save(Figure(), tmp_path / "a")
    assert [(path.name, path.read_text()) for path in tmp_path.iterdir()] == [("a.pdf", "old")]


@pytest.mark.parametrize("width", [ONE_COLUMN, TWO_COLUMN])
def test_panels_and_labels_do_not_overlap(width):
    table = frame(*[row(arm, measure=measure) for arm in ARMS for measure in ("acc", "asr", "silhouette", "cka")])
    for figure in (
        readings(table, measures=["acc", "asr", "silhouette", "cka"], width=width),
        embeddings(points(), width=width),
        dynamics(history(), width=width),
        defence_map(tried(), titles=TITLES, width=width),
        roc(curves(), width=width),
        arrows(moved(), x_label="mixing", y_label="ASR", width=width),
        geometry(*two_ways(), arms=("supervised-dirty", "simclr-clean"), width=width),
        two_factors(crossed(), measures=["mixing", "K"], width=width),
    ):
        boxes = [axes.get_tightbbox() for axes in figure.findobj(matplotlib.axes.Axes)]
        boxes += [legend.get_window_extent() for legend in figure.findobj(matplotlib.legend.Legend)]
        canvas = figure.bbox
        for box in boxes:
            assert box.x0 >= canvas.x0 - 1
            assert box.x1 <= canvas.x1 + 1
            assert box.y0 >= canvas.y0 - 1
            assert box.y1 <= canvas.y1 + 1
        shrunk = [box.padded(-1) for box in boxes]
        assert not any(a.overlaps(b) for i, a in enumerate(shrunk) for b in shrunk[i + 1 :])
