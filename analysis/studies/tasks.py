"""The tasks of a study: one run to train, to measure or to intervene in, done once and stamped."""

import json
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pandas as pd
import torch

from ...checkpoints.files import atomic_write
from ...checkpoints.store import is_finished
from ...representations.errors import InputError
from ...training.fit import fit, pick_device
from ...training.poison import ARMS
from ...training.recipe import Recipe
from ...training.resume import device_name
from ..learning.dynamics import measure_dynamics
from ..learning.interventions import measure_interventions
from ..panel.reading_sets import UNRELATED
from ..results.table import DEFAULT_EVALUATOR, write_rows
from ..runs.measurement import measure_run
from ..runs.run import about_run, load_run
from ..runs.side_tables import ROWS
from ..runs.stamps import stamp_of, stands
from .executors import Done, attempt

__all__ = ["DYNAMICS", "INTERVENTIONS", "MOST_BANK", "Task", "is_done", "needs", "stamp", "tasks_of", "work"]

MOST_BANK = 5000
DYNAMICS, INTERVENTIONS = "dynamics.csv", "interventions.csv"
STAMPS = {"measure": "measured.json", "intervene": "intervened.json"}
TABLES = {"measure": (ROWS, DYNAMICS), "intervene": (INTERVENTIONS,)}


@dataclass(frozen=True)
class Task:
    """One run to ``train``, to ``measure``, or to ``intervene`` in, both against its benign twin; ``most``: held-out
    images that readings are taken from; ``most_bank``: training images that the evaluators see; ``evaluator``: the one
    that decides what is evaluable."""

    stage: str
    recipe: Recipe
    folder: Path
    benign: Path | None
    data_root: Path | None
    device: str
    threads: int
    most: int
    most_bank: int = MOST_BANK
    evaluator: str = DEFAULT_EVALUATOR

    @property
    def name(self) -> str:
        return f"{self.stage} {self.recipe.arm}/seed{self.recipe.seed}"


def tasks_of(
    stage: str,
    recipes: Iterable[Recipe],
    out: Path,
    data_root: Path | None,
    device: str,
    threads: int,
    most: int,
    most_bank: int,
    evaluator: str = DEFAULT_EVALUATOR,
) -> list[Task]:
    """One of a stage for each recipe, in the folder of the study ``out``; nothing to intervene in where an encoder is
    clean."""

    def folder(recipe: Recipe) -> Path:
        return out.resolve() / "runs" / recipe.arm / f"seed{recipe.seed}"  # workers may stand elsewhere

    tasks = []
    for recipe in recipes:
        if stage == "intervene" and not ARMS[recipe.arm].is_poisoned:
            continue  # a clean encoder is only what the others are held against
        benign = recipe.replace(arm=ARMS[recipe.arm].benign) if ARMS[recipe.arm].is_poisoned else None
        where = folder(recipe), folder(benign) if benign else None
        tasks.append(Task(stage, recipe, *where, data_root, device, threads, most, most_bank, evaluator))
    return tasks


def needs(task: Task) -> list[Path]:
    """The runs that must be trained before it: its own and its benign twin."""
    return [f for f in (task.folder, task.benign) if f]


def stamp(task: Task) -> dict[str, Any]:
    """What is written beside its tables once they are whole: they stand as long as it is the same."""
    names = TABLES[task.stage] if task.benign else TABLES[task.stage][:1]
    # As it was before bank and evaluator could be chosen, where they are not: what is done then is done.
    bank: dict[str, Any] = {}
    if task.stage == "measure":
        bank |= {"most_bank": task.most_bank} if task.most_bank != MOST_BANK else {}
        bank |= {"evaluator": task.evaluator} if task.evaluator != DEFAULT_EVALUATOR else {}
    return stamp_of(needs(task), [task.folder / name for name in names], most=task.most, **bank)


def is_done(task: Task) -> bool:
    """Whether its results are there and would come out the same, as far as can be told without doing it again."""
    if task.stage != "train":
        finished = all(map(is_finished, needs(task)))
        return finished and stands(task.folder / STAMPS[task.stage], lambda: stamp(task))
    try:
        return is_finished(task.folder) and _fits(about_run(task.folder), task)
    except InputError:  # damaged: training it again says what is wrong
        return False


def _fits(manifest: Mapping[str, Any], task: Task) -> bool:
    """Whether training it again would give this run, as far as can be told without loading its data."""
    mine = {"recipe": task.recipe.to_dict(), "threads": task.threads, "torch": str(torch.__version__)}
    mine["device"] = device_name(pick_device(task.device))
    # Compared as JSON, in which a tuple is a list.
    return json.loads(json.dumps(mine)) == {key: manifest["identity"].get(key) for key in mine}


def work(task: Task) -> Done:
    """Do one task."""
    return attempt(task, _do)


def _do(task: Task) -> None:
    if task.stage == "train":
        fit(task.recipe, task.folder, data_root=task.data_root, device=task.device)
    elif not is_done(task):
        _measure(task)


def _measure(task: Task) -> None:
    run, benign = (
        load_run(f, data_root=task.data_root, device=task.device) if f else None for f in (task.folder, task.benign)
    )
    assert run is not None
    standing = task.folder / STAMPS[task.stage]
    standing.unlink(missing_ok=True)  # killed between its tables, what is there must not pass for done
    if task.stage == "intervene":
        assert benign is not None
        write_rows(measure_interventions(run, benign, most=task.most), task.folder / INTERVENTIONS)
    else:
        sizes: dict[str, Any] = {"most": task.most, "most_bank": task.most_bank, "evaluator": task.evaluator}
        rows = measure_run(run, benign, readings="cheap", **sizes)
        if benign is not None:
            unrelated = measure_run(run, benign, readings=UNRELATED, **sizes)
            rows = pd.concat(
                [rows, unrelated[(unrelated["reference"] == "random-trigger") & (unrelated["subset"] == "triggered")]],
                ignore_index=True,
            )
        write_rows(rows, task.folder / ROWS)
        if benign is not None:
            write_rows(measure_dynamics(run, benign, **sizes, panel_at_end=False), task.folder / DYNAMICS)
    atomic_write(standing, json.dumps(stamp(task)).encode())
