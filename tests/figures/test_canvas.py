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
    STYLES,
    TWO_COLUMN,
    defence_map,
    dynamics,
    embeddings,
    forest,
    geometry,
    losses,
    pareto,
    readings,
    roc,
    save,
    small_multiples,
    style,
    two_factors,
)
from matplotlib.figure import Figure
from matplotlib.lines import Line2D

from tests.figures.frames import (
    ARMS,
    FIGURES,
    claims,
    crossed,
    curves,
    frame,
    history,
    points,
    priced,
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


LOOKS = [*((name, "usenix") for name in FIGURES), *(("readings", look) for look in STYLES)]


@pytest.mark.parametrize(("name", "look"), LOOKS)
def test_figures_of_a_named_style_fit_its_page(name, look):
    with style(look) as found:
        width, height = FIGURES[name]().get_size_inches()
        assert width <= found.two_columns + 1e-6
        assert height <= found.tallest + 1e-6


def test_formats_are_chosen(tmp_path):
    figure = FIGURES["roc"]()
    (path,) = save(figure, tmp_path / "a", ["svg"])
    assert path.name == "a.svg"
    assert b"<text" in path.read_bytes(), "text stays text"
    with pytest.raises(ValueError, match="format: expected any of pdf, png, svg, received \\['eps'\\]"):
        save(figure, tmp_path / "a", ["eps"])


def test_panels_fill_rows_and_the_legend_fills_their_hole():
    entries = [Line2D([], [], label=name) for name in ("a", "b", "c")]
    full = small_multiples(6, each=1.5, height=1.5, width=6.8, most=3, legend=entries)
    assert len(full.figure.legends) == 1
    holed = small_multiples(5, each=1.5, height=1.5, width=6.8, most=3, legend=entries)
    assert not holed.figure.legends
    (spare,) = [axes for axes in holed.figure.axes if axes.get_legend()]
    assert spare not in holed.axes
    below = holed.axes[2].xaxis.get_tick_params()["labelbottom"]
    assert below == holed.axes[0].xaxis.get_tick_params()["labelbottom"] is True, "all rows have ticks, or none"


def test_many_entries_do_not_go_into_a_hole():
    entries = [Line2D([], [], label="a long name of an arm") for _ in range(30)]
    panels = small_multiples(5, each=1.5, height=1.5, width=6.8, most=3, legend=entries)
    assert len(panels.figure.legends) == 1


def test_given_axes_are_drawn_into_and_left_in_their_place():
    figure = Figure()
    left, right = figure.subplots(1, 2)
    before = right.get_position().bounds
    table = curves()
    assert roc(table[table["defence"] == "c"], ax=right) is figure
    assert right.get_title() == "C"
    assert not left.lines
    assert right.get_position().bounds == before
    assert figure.get_size_inches().tolist() == matplotlib.rcParams["figure.figsize"]
    with pytest.raises(ValueError, match="ax: expected data of one panel, received 2 panels"):
        roc(table, ax=left)


@pytest.mark.parametrize("width", [ONE_COLUMN, TWO_COLUMN])
def test_panels_and_labels_do_not_overlap(width):
    with style():
        _check_overlaps(width)


def _check_overlaps(width):
    table = frame(*[row(arm, measure=measure) for arm in ARMS for measure in ("acc", "asr", "silhouette", "cka")])
    for figure in (
        readings(table, measures=["acc", "asr", "silhouette", "cka"], width=width),
        embeddings(points(), width=width),
        dynamics(history(), width=width),
        defence_map(tried(), width=width),
        roc(curves(), width=width),
        pareto(priced(), width=width),
        losses(history(), width=width),
        forest(claims(), width=width),
        geometry(*two_ways(), arms=("supervised-dirty", "simclr-clean"), width=width),
        two_factors(crossed(), measures=["mixing", "K"], width=width),
    ):
        boxes = [axes.get_tightbbox() for axes in figure.findobj(matplotlib.axes.Axes)]
        boxes += [legend.get_window_extent() for legend in figure.findobj(matplotlib.legend.Legend) if not legend.axes]
        canvas = figure.bbox
        for box in boxes:
            assert box.x0 >= canvas.x0 - 1
            assert box.x1 <= canvas.x1 + 1
            assert box.y0 >= canvas.y0 - 1
            assert box.y1 <= canvas.y1 + 1
        shrunk = [box.padded(-1) for box in boxes]
        assert not any(a.overlaps(b) for i, a in enumerate(shrunk) for b in shrunk[i + 1 :])
