"""The tasks of a study: a run to train, to measure or to intervene in, done once and stamped."""

import json
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import pandas as pd
import torch

from ...checkpoints.files import atomic_write
from ...checkpoints.store import is_finished
from ...representations.errors import InputError
from ...training.arms import ARMS
from ...training.fit import fit, pick_device
from ...training.recipe import Recipe
from ...training.resume import device_name
from ..learning.dynamics import measure_dynamics
from ..learning.interventions import measure_interventions
from ..panel import PanelOptions
from ..panel.reading_sets import RANDOM_TRIGGER_RATES
from ..results.table import write_rows
from ..runs.measurement import measure_run
from ..runs.run import about_run, load_run
from ..runs.side_tables import ROWS
from ..runs.stamps import is_valid, stamp_of
from .executors import Done, attempt

__all__ = ["DYNAMICS", "INTERVENTIONS", "Task", "is_done", "needs", "stamp", "tasks_of", "work"]

DYNAMICS, INTERVENTIONS = "dynamics.csv", "interventions.csv"
STAMPS = {"measure": "measured.json", "intervene": "intervened.json"}
TABLES = {"measure": (ROWS, DYNAMICS), "intervene": (INTERVENTIONS,)}


@dataclass(frozen=True)
class Task:
    """One run to ``train``, to ``measure``, or to ``intervene`` in, the last two against its benign twin."""

    stage: str
    recipe: Recipe
    folder: Path
    benign: Path | None
    data_root: Path | None
    device: str
    threads: int
    options: PanelOptions

    @property
    def name(self) -> str:
        return f"{self.stage} {self.recipe.arm}/seed{self.recipe.seed}"


def tasks_of(
    stage: str,
    recipes: Iterable[Recipe],
    out: Path,
    options: PanelOptions,
    *,
    data_root: Path | None,
    device: str,
    threads: int,
) -> list[Task]:
    """One task of a stage for each recipe, in the folder of the study ``out``. There are no interventions in benign
    encoders."""

    def folder(recipe: Recipe) -> Path:
        return out.resolve() / "runs" / recipe.arm / f"seed{recipe.seed}"  # workers may have another working folder

    tasks = []
    for recipe in recipes:
        arm = ARMS[recipe.arm]
        if stage == "intervene" and not arm.is_poisoned:
            continue  # a benign encoder is only a reference
        benign = folder(recipe.replace(arm=arm.benign)) if arm.is_poisoned else None
        tasks.append(Task(stage, recipe, folder(recipe), benign, data_root, device, threads, options))
    return tasks


def needs(task: Task) -> list[Path]:
    """The runs that must be trained first: its own and its benign twin."""
    return [f for f in (task.folder, task.benign) if f]


def stamp(task: Task) -> dict[str, Any]:
    """Written beside its tables once they are complete. They are valid as long as it is the same."""
    names = TABLES[task.stage] if task.benign else TABLES[task.stage][:1]
    options = task.options
    about = {"bank": options.bank, "evaluator": options.evaluator} if task.stage == "measure" else {}
    return stamp_of(needs(task), [task.folder / name for name in names], images=options.images, **about)


def is_done(task: Task) -> bool:
    """Whether its results exist and would come out the same, as far as is known without doing it again."""
    if task.stage != "train":
        finished = all(map(is_finished, needs(task)))
        return finished and is_valid(task.folder / STAMPS[task.stage], lambda: stamp(task))
    try:
        return is_finished(task.folder) and _fits(about_run(task.folder), task)
    except InputError:  # damaged: training it again reports the error
        return False


def _fits(manifest: Mapping[str, Any], task: Task) -> bool:
    """Whether training it again would give this run, as far as is known without loading its data."""
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
    stamped = task.folder / STAMPS[task.stage]
    stamped.unlink(missing_ok=True)  # interrupted between two tables, the task must not pass for done
    if task.stage == "intervene":
        assert benign is not None
        write_rows(measure_interventions(run, benign, most=task.options.images), task.folder / INTERVENTIONS)
    else:
        rows = measure_run(run, benign, replace(task.options, readings="cheap"))
        if benign is not None:
            unrelated = measure_run(run, benign, replace(task.options, readings=RANDOM_TRIGGER_RATES))
            rows = pd.concat(
                [rows, unrelated[(unrelated["reference"] == "random-trigger") & (unrelated["subset"] == "triggered")]],
                ignore_index=True,
            )
        write_rows(rows, task.folder / ROWS)
        if benign is not None:
            write_rows(measure_dynamics(run, benign, task.options, panel_at_end=False), task.folder / DYNAMICS)
    atomic_write(stamped, json.dumps(stamp(task)).encode())
