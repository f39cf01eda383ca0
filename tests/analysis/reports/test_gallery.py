"""The code beside each picture of the gallery draws it, in the folder of a clone."""

import ast
import inspect
import shutil

import pytest
from intertwine import figures
from intertwine.analysis.reports.captions import CAPTIONS
from intertwine.analysis.results.table import write_rows
from intertwine.analysis.runs.run import find_runs
from intertwine.analysis.runs.side_tables import gather
from matplotlib.figure import Figure

from evidence import ROOT
from evidence.write import GALLERY_CODE

LONG = ("interpolation", "forgetting", "sweep", "transplants", "geometry")
"""Figures of studies, grids and contrastive runs, which take minutes: only their call is checked."""


@pytest.fixture
def clone(measured_runs, tmp_path, monkeypatch):
    """The folder of a clone, after a small demo."""
    (tmp_path / "evidence").symlink_to(ROOT / "evidence")
    shutil.copytree(measured_runs, tmp_path / "runs/demo")
    write_rows(gather(find_runs([tmp_path / "runs/demo"]), "rows.csv"), tmp_path / "runs/demo/rows.csv")
    monkeypatch.chdir(tmp_path)


def drawn(code: str) -> object:
    """What the last expression of the code returns."""
    tree, names = ast.parse(code), {}
    last = tree.body[-1]
    body = last.body if isinstance(last, ast.With) else tree.body
    body[-1] = ast.Assign([ast.Name("figure", ast.Store())], body[-1].value)
    exec(compile(ast.fix_missing_locations(tree), "gallery.toml", "exec"), names)
    return names["figure"]


@pytest.mark.parametrize("name", [name for name in CAPTIONS if name not in LONG])
def test_the_code_draws_a_figure(name, clone):
    assert isinstance(drawn(GALLERY_CODE[name]), Figure)


@pytest.mark.parametrize("name", CAPTIONS)
def test_the_code_calls_a_figure_as_it_wants_to_be_called(name):
    calls = [node for node in ast.walk(ast.parse(GALLERY_CODE[name])) if isinstance(node, ast.Call)]
    named = [c for c in calls if isinstance(c.func, ast.Name) and hasattr(figures, c.func.id)]
    assert len(named) == 1
    given = {keyword.arg: keyword.value for keyword in named[0].keywords}
    inspect.signature(getattr(figures, named[0].func.id)).bind(*named[0].args, **given)
