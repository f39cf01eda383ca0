"""Figures of runs: what is missing or damaged is named before anything is written. (That all are drawn:
``studies/test_comparison.py`` and ``studies/test_study.py``.)"""

import shutil

import numpy as np
import pytest
from intertwine import figures
from intertwine.analysis.reports import drawing
from intertwine.analysis.reports.captions import CAPTIONS
from intertwine.analysis.reports.drawing import draw_all
from intertwine.analysis.runs.side_tables import gather
from intertwine.representations.errors import InputError


@pytest.fixture
def gallery_only(monkeypatch, measured_runs, tmp_path):
    """A measured run of which the gallery alone is drawn: function → what it draws."""
    folder = tmp_path / "seed0"
    shutil.copytree(measured_runs / "supervised-dirty" / "seed0", folder)
    rows = gather([folder], "rows.csv")
    real = drawing.drawings_of

    def draw():
        return draw_all([folder], rows, tmp_path / "figures")

    monkeypatch.setattr(drawing, "drawings_of", lambda *told: {"triggers": real(*told)["triggers"]})
    return folder, draw


def test_the_gallery_is_drawn_at_two_widths(gallery_only, unsaved):
    _, draw = gallery_only
    assert [path.name for path in draw()] == ["triggers.pdf", "triggers.png", "triggers-1col.pdf", "triggers-1col.png"]


def test_what_is_missing_or_damaged_is_named(gallery_only, tmp_path, monkeypatch):
    folder, draw = gallery_only
    path = folder / "triggers.npz"
    path.unlink()
    with pytest.raises(InputError, match=r"run: .*seed0 has no triggers\.npz; `intertwine compare` writes it"):
        draw()
    for content in (b"PK nothing", b""):
        path.write_bytes(content)
        with pytest.raises(InputError, match=r"run: .*triggers\.npz is corrupted"):
            draw()
    np.savez(path, other=np.zeros(3))
    with pytest.raises(InputError, match="is corrupted"):
        draw()

    def refuse(*_, **__):
        raise ValueError("clean: expected uint8")

    monkeypatch.setattr(drawing, "draw_gallery", refuse)
    with pytest.raises(InputError, match="figures: triggers: clean: expected uint8"):
        draw()
    assert not (tmp_path / "figures").exists()


def test_every_figure_of_runs_has_a_caption():
    assert set(CAPTIONS) >= {
        "dynamics",
        "embeddings",
        "readings",
        "alignment",
        "confusion",
        "triggers",
        "geometry",
        "forest",
        "sweep",
    }
    assert figures.TWO_COLUMN > figures.ONE_COLUMN
