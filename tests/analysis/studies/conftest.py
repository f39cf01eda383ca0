"""Small studies in this process: one as it is, and the means to make others that measure little."""

import sys
from dataclasses import replace

import pandas as pd
import pytest
import torch
from intertwine.analysis.panel.reading_sets import ReadingSet
from intertwine.analysis.results.measures import RATES
from intertwine.analysis.runs.measurement import measure_run
from intertwine.analysis.studies import defence_conclusion, executors, tasks
from intertwine.analysis.studies.study import study
from intertwine.training import read_recipe

from tests.factories import TINY, few_blocks

RECIPE = read_recipe("digits-demo", **TINY)
FEW = {"arms": ["supervised-dirty"], "seeds": 2, "device": "cpu", "engine": "here", "interventions": False}
LITTLE = ReadingSet(
    frozenset({*RATES, "effective_rank", "neighbour_mixing"}), references=frozenset({"benign"}), layers=("features",)
)


def serial(work, tasks, lost, *, jobs, threads):
    """In this process: for what is not about processes, whose start takes seconds."""
    before = torch.get_num_threads()
    torch.set_num_threads(threads)
    try:
        yield from map(work, tasks)
    finally:
        torch.set_num_threads(before)


@pytest.fixture(scope="session", autouse=True)
def here():
    """The engine ``here``."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setitem(executors.ENGINES, "here", serial)
        yield


@pytest.fixture(autouse=True)
def _few_blocks():
    with few_blocks():
        yield


@pytest.fixture(scope="session")
def done(here, tmp_path_factory):
    """A study of two seeds, and what it said: folder, rows, claims, files, log."""
    out, lines = tmp_path_factory.mktemp("study"), []
    with few_blocks():
        return out, *study(RECIPE, out, **FEW, log=lines.append), lines


def reads_little(patch):
    """Few readings and no snapshots: for what is not about measuring, but about when and of what it is done."""

    def little(run, benign, options):
        return measure_run(run, benign, replace(options, readings=LITTLE))

    def nothing(run, benign, options, *, panel_at_end):
        return measure_run(run, benign, replace(options, readings=LITTLE), epoch=0)

    patch.setattr(tasks, "measure_run", little)
    patch.setattr(tasks, "measure_dynamics", nothing)


@pytest.fixture
def little(monkeypatch):
    reads_little(monkeypatch)


@pytest.fixture(scope="session")
def small_study(here, tmp_path_factory):
    """A study of two seeds that measured little: folder, rows, claims, files."""
    out = tmp_path_factory.mktemp("small-study")
    with pytest.MonkeyPatch.context() as patch:
        reads_little(patch)
        return out, *study(RECIPE, out, **FEW)


@pytest.fixture
def undrawn(monkeypatch):
    """One empty picture stands for all figures of a study: for what is not about them."""

    def touch(*tables, **how):
        out = tables[-1]
        out.mkdir(parents=True, exist_ok=True)
        (out / "map.pdf").touch()
        return [out / "map.pdf"]

    monkeypatch.setattr(sys.modules[study.__module__], "draw_study", touch)
    monkeypatch.setattr(defence_conclusion, "draw_defences", touch)


def same_tables(a: pd.DataFrame, b: pd.DataFrame) -> None:
    """Equal but for the order of rows."""
    key = [c for c in a.columns if c not in ("ci_low", "ci_high", "decides")]
    pd.testing.assert_frame_equal(*(table.sort_values(key, ignore_index=True) for table in (a, b)))
