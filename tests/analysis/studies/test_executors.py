"""Where tasks run: an error is told, and a process that dies costs its task only."""

import multiprocessing
import sys

import pytest
from intertwine.analysis.studies.executors import ENGINES, attempt, lost
from intertwine.representations.errors import InputError

TASKS = """
import os, signal
from pathlib import Path

def double_or_die(task):
    number, flag = task
    if flag and not Path(flag).exists():
        Path(flag).write_text("was here")
        os.kill(os.getpid(), signal.SIGKILL)
    if number < 0:
        os.kill(os.getpid(), signal.SIGKILL)
    return 2 * number
"""


@pytest.fixture
def double_or_die(tmp_path, monkeypatch):
    """Where another process finds it."""
    (tmp_path / "tasks_of_a_test.py").write_text(TASKS)
    monkeypatch.syspath_prepend(tmp_path)
    import tasks_of_a_test

    yield tasks_of_a_test.double_or_die
    del sys.modules["tasks_of_a_test"]


@pytest.fixture
def forked(monkeypatch):
    """Processes that begin as copies of this one, in which all is imported. (That a new one ends with the process that
    began it: ``test_study.py``.)"""
    fork = multiprocessing.get_context("fork")
    monkeypatch.setattr(multiprocessing, "get_context", lambda method: fork)


def given_up(task: tuple[int, str]) -> int:
    return 1000 + task[0]


def test_an_error_is_told_and_not_raised():
    def fail(task):
        raise InputError("seeds: expected at least 1") if task == "input" else ZeroDivisionError("by nothing")

    done = attempt("input", fail)
    assert (done.task, done.error) == ("input", "InputError: seeds: expected at least 1")
    assert attempt("other", fail).why == "  failed: ZeroDivisionError: by nothing"
    assert "Traceback" in attempt("other", fail).error
    assert attempt("fine", lambda task: None).why == ""
    assert lost("task").why.startswith("  failed: the process died, twice")


def test_a_process_that_dies_once_costs_nothing_and_one_that_dies_again_its_task(tmp_path, double_or_die, forked):
    tasks = [(0, ""), (-5, ""), (1, str(tmp_path / "flag")), *((i, "") for i in range(2, 6))]
    results = list(ENGINES["local"](double_or_die, tasks, given_up, jobs=1, threads=1))
    assert 995 in results
    assert {6, 8, 10} <= set(results)
    assert len(results) == 7


def test_processes_share_the_tasks_and_one_that_dies_once_is_begun_again(tmp_path, double_or_die, forked):
    tasks = [(i, str(tmp_path / "flag") if i == 1 else "") for i in range(4)]
    results = sorted(ENGINES["local"](double_or_die, tasks, given_up, jobs=2, threads=1))
    assert results == [0, 2, 4, 6]


def test_ray_does_the_tasks_and_gives_up_one_that_fails():
    ray = pytest.importorskip("ray", reason="in the extra `ray`, which the extra `test` has")

    def double(task):
        return 2 * task if task >= 0 else 1 / 0

    try:
        results = list(ENGINES["ray"](double, [1, -1, 2], lambda task: 1000 + task, jobs=1, threads=1))
    finally:
        ray.shutdown()
    assert sorted(results) == [2, 4, 999]


def test_without_ray_it_is_said_how_to_get_it(monkeypatch):
    monkeypatch.setitem(sys.modules, "ray", None)
    with pytest.raises(InputError, match=r"engine: ray is not installed; pip install 'intertwine\[ray\]'"):
        list(ENGINES["ray"](str, [1], str, jobs=1, threads=1))
