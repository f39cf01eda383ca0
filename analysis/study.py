"""A study: arms × seeds of one recipe, trained and measured unattended, killed and continued, judged by predicates that
were written down before it began."""

import json
import time
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import pandas as pd
import torch

from ..checkpoints.store import atomic_write, is_finished
from ..representations.errors import InputError
from ..representations.evaluate import EVALUATORS
from ..training.fit import fit, pick_device
from ..training.poison import ARMS
from ..training.recipe import Recipe
from ..training.resume import device_name
from .claims import judge, predicates
from .drawing import draw_study
from .dynamics import coupling_rows, measure_dynamics
from .engines import ENGINES, Done, attempt, lost
from .evaluable import gated
from .interventions import measure_interventions
from .matched import matched_rows
from .measuring import LEAST_IMAGES
from .report import write_study_report
from .rows import JUDGE, final_rows, find_table, read_rows, write_rows
from .runs import HISTORY, ROWS, about_run, gather, load_run, measure_run, write_table
from .sets import UNRELATED
from .stamps import stamp_of, stands

__all__ = ["STUDY_ARMS", "Task", "conclude", "study", "work"]

STUDY_ARMS = (
    *("clean-supervised", "clean-supcon", "clean-contrastive"),
    *("supervised-dirty", "supcon-dirty", "supervised-clean", "supcon-clean", "contrastive"),
)
MOST_BANK = 5000
DYNAMICS, INTERVENTIONS = "dynamics.csv", "interventions.csv"
STAMPS = {"measure": "measured.json", "intervene": "intervened.json"}
TABLES = {"measure": (ROWS, DYNAMICS), "intervene": (INTERVENTIONS,)}

Log = Callable[[str], None]


@dataclass(frozen=True)
class Task:
    """One run to ``train``, to ``measure``, or to ``intervene`` in, both against its floor; ``most``: held-out images
    that readings are taken from; ``most_bank``: training images that the evaluators see; ``evaluator``: the one that
    decides what is evaluable."""

    stage: str
    recipe: Recipe
    folder: Path
    floor: Path | None
    data_root: Path | None
    device: str
    threads: int
    most: int
    most_bank: int = MOST_BANK
    evaluator: str = JUDGE

    @property
    def name(self) -> str:
        return f"{self.stage} {self.recipe.arm}/seed{self.recipe.seed}"


def study(
    recipe: Recipe,
    out: Path,
    *,
    arms: Sequence[str] = STUDY_ARMS,
    seeds: int = 3,
    first_seed: int = 0,
    jobs: int = 1,
    threads: int = 1,
    engine: str = "local",
    data_root: Path | None = None,
    device: str = "auto",
    most: int = 2000,
    most_bank: int = MOST_BANK,
    evaluator: str = JUDGE,
    interventions: bool = True,
    log: Log = lambda line: None,
) -> tuple[pd.DataFrame, pd.DataFrame, list[Path]]:
    """Train and measure every arm with ``seeds`` seeds from ``first_seed`` on, then join and judge. (:func:`conclude`
    draws and reports; :func:`.joined.join_studies` joins what several machines have done of one study.)

    What is finished is not done again: a study that was killed, or that some runs of failed, continues with the same
    call. A run that fails is listed in ``failures.csv`` and left out of the tables; the others go on.

    Args:
        arms: the floors of poisoned arms are added.
        jobs: how many tasks at once. threads: CPU threads of each; part of a run's identity.
        engine: ``local``, processes of this machine; ``ray``, a Ray cluster that shares ``out``.
        most, most_bank, evaluator: as in :func:`.panel.panel`. Interventions see as many of both as ``most``,
            and go by kNN.
        interventions: change the poisoned encoders' weights, unlearn, erase and match ASR as well
            (:mod:`.interventions`), which costs about as much as training them does.

    Returns:
        rows of all runs (final panels, snapshots, curves and interventions), verdicts, the files written.

    Raises:
        InputError: unknown arms or engine; ``out`` holds a study with other predicates or another recipe.
    """
    wanted = _with_floors(arms)
    if seeds < 1:
        raise InputError(f"seeds: expected at least 1, received {seeds}")
    if first_seed < 0:
        raise InputError(f"first_seed: expected 0 or more, received {first_seed}")
    if most < LEAST_IMAGES:
        raise InputError(f"most (--images): expected at least {LEAST_IMAGES} images, received {most}")
    if most_bank < LEAST_IMAGES:
        raise InputError(f"most_bank (--bank): expected at least {LEAST_IMAGES} images, received {most_bank}")
    if engine not in ENGINES:
        raise InputError(f"engine: expected one of {', '.join(ENGINES)}, received {engine!r}")
    if evaluator not in EVALUATORS:
        raise InputError(f"evaluator: expected one of {', '.join(EVALUATORS)}, received {evaluator!r}")
    if interventions and evaluator != JUDGE:
        raise InputError(
            f"evaluator: expected {JUDGE} with interventions, which go by it, or --no-interventions; received "
            f"{evaluator!r}"
        )
    _declare(out, recipe, evaluator)
    recipes = [recipe.replace(arm=arm, seed=seed) for seed in range(first_seed, first_seed + seeds) for arm in wanted]
    stages = ("train", "measure", "intervene") if interventions else ("train", "measure")
    of_all = (recipes, out, data_root, device, threads, most, most_bank, evaluator)
    tasks = {stage: _tasks(stage, *of_all) for stage in stages}
    failed: dict[str, Done] = {}
    trained: set[Path] = set()
    for stage in stages:
        runnable = [t for t in tasks[stage] if stage == "train" or trained.issuperset(_needs(t))]
        for done in _run(runnable, engine, jobs, threads, log):
            if done.error:
                failed[done.task.name] = done
        if stage == "train":
            trained = {t.folder for t in tasks[stage] if _is_done(t)}
    _write_failures(out, failed.values())
    measured = [t for t in tasks["measure"] if trained.issuperset(_needs(t)) and _is_done(t)]
    if not measured:
        reasons = sorted({d.error.strip().splitlines()[-1] for d in failed.values()})
        raise InputError(f"study: no run could be trained and measured: {'; '.join(reasons)[:500]}")
    rows, claims, written = _join(out, measured)
    if failed:
        log(f"{len(failed)} tasks failed, see {out / 'failures.csv'}; the same command tries them again")
    return rows, claims, written


def _with_floors(arms: Sequence[str]) -> list[str]:
    """In the order of the table of arms, with the floor of each."""
    for arm in arms:
        if arm not in ARMS:
            raise InputError(f"arms: expected some of {', '.join(ARMS)}, received {arm!r}")
        if ARMS[arm].poisons == "model":
            raise InputError(f"arms: expected arms that are trained from the start, received {arm!r}")
    if not arms:
        raise InputError(f"arms: expected some of {', '.join(ARMS)}, received none")
    wanted = {*arms, *(ARMS[arm].floor for arm in arms)}
    return [arm for arm in ARMS if arm in wanted]


def _declare(out: Path, recipe: Recipe, evaluator: str) -> None:
    """Write predicates and recipe before anything is trained; refuse to go on under others."""
    shared = _shared(recipe.to_dict())
    declared = predicates() | ({"evaluator": evaluator} if evaluator != JUDGE else {})
    for path, content in ((out / "predicates.json", declared), (out / "recipe.json", shared)):
        text = json.dumps(content, indent=1)
        if path.is_file() and path.read_text() != text:
            raise InputError(
                f"out: {path} is not what this study would begin with: it holds a study of another recipe, "
                f"evaluator or other predicates; choose another folder"
            )
        if not path.is_file():
            atomic_write(path, text.encode())


def _shared(recipe: Mapping[str, Any]) -> dict[str, Any]:
    """The fields that all runs of a study have in common: every one of a recipe but arm and seed."""
    if missing := Recipe.__dataclass_fields__.keys() - {"arm", "seed"} - recipe.keys():
        raise InputError(f"recipe: expected all fields, received none for {', '.join(sorted(missing))}")
    return {k: v for k, v in recipe.items() if k not in ("arm", "seed")}


def _tasks(
    stage: str,
    recipes: Iterable[Recipe],
    out: Path,
    data_root: Path | None,
    device: str,
    threads: int,
    most: int,
    most_bank: int,
    evaluator: str = JUDGE,
) -> list[Task]:
    def folder(recipe: Recipe) -> Path:
        return out.resolve() / "runs" / recipe.arm / f"seed{recipe.seed}"  # workers may stand elsewhere

    tasks = []
    for recipe in recipes:
        if stage == "intervene" and ARMS[recipe.arm].poisons == "none":
            continue  # a clean encoder is only what the others are held against
        floor = recipe.replace(arm=ARMS[recipe.arm].floor) if ARMS[recipe.arm].poisons != "none" else None
        where = folder(recipe), folder(floor) if floor else None
        tasks.append(Task(stage, recipe, *where, data_root, device, threads, most, most_bank, evaluator))
    return tasks


def _needs(task: Task) -> list[Path]:
    return [f for f in (task.folder, task.floor) if f]


def _stamp(task: Task) -> dict[str, Any]:
    names = TABLES[task.stage] if task.floor else TABLES[task.stage][:1]
    # As it was before bank and evaluator could be chosen, where they are not: what is done then is done.
    bank: dict[str, Any] = {}
    if task.stage == "measure":
        bank |= {"most_bank": task.most_bank} if task.most_bank != MOST_BANK else {}
        bank |= {"evaluator": task.evaluator} if task.evaluator != JUDGE else {}
    return stamp_of(_needs(task), [task.folder / name for name in names], most=task.most, **bank)


def _is_done(task: Task) -> bool:
    if task.stage != "train":
        finished = all(map(is_finished, _needs(task)))
        return finished and stands(task.folder / STAMPS[task.stage], lambda: _stamp(task))
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
    elif not _is_done(task):
        _measure(task)


def _measure(task: Task) -> None:
    run, floor = (
        load_run(f, data_root=task.data_root, device=task.device) if f else None for f in (task.folder, task.floor)
    )
    assert run is not None
    stamp = task.folder / STAMPS[task.stage]
    stamp.unlink(missing_ok=True)  # killed between its tables, what is there must not pass for done
    if task.stage == "intervene":
        assert floor is not None
        write_rows(measure_interventions(run, floor, most=task.most), task.folder / INTERVENTIONS)
    else:
        sizes: dict[str, Any] = {"most": task.most, "most_bank": task.most_bank, "evaluator": task.evaluator}
        rows = measure_run(run, floor, readings="cheap", **sizes)
        if floor is not None:
            unrelated = measure_run(run, floor, readings=UNRELATED, **sizes)
            rows = pd.concat(
                [rows, unrelated[(unrelated["reference"] == "random-trigger") & (unrelated["subset"] == "P")]],
                ignore_index=True,
            )
        write_rows(rows, task.folder / ROWS)
        if floor is not None:
            write_rows(measure_dynamics(run, floor, **sizes, panel_at_end=False), task.folder / DYNAMICS)
    atomic_write(stamp, json.dumps(_stamp(task)).encode())


def _run(tasks: Sequence[Task], engine: str, jobs: int, threads: int, log: Log) -> Iterable[Done]:
    """Those that are not done yet, with a line for each and the time that is left."""
    left = [t for t in tasks if not _is_done(t)]
    if len(left) < len(tasks):
        log(f"{len(tasks) - len(left)} of {len(tasks)} tasks are done already")
    start = time.perf_counter()
    for i, done in enumerate(ENGINES[engine](work, left, lost, jobs=jobs, threads=threads), start=1):
        eta = (time.perf_counter() - start) / i * (len(left) - i)
        cost = f"{done.wall:.0f} s wall, {done.cpu:.0f} s CPU, ETA {eta:.0f} s"
        log(f"[{i}/{len(left)}] {done.task.name}  {cost}{done.why}")
        yield done


def _write_failures(out: Path, failed: Iterable[Done]) -> None:
    path = out / "failures.csv"
    table = pd.DataFrame([{"task": d.task.name, "folder": str(d.task.folder), "error": d.error} for d in failed])
    if table.empty:
        path.unlink(missing_ok=True)
    else:
        write_table(table, path)


def _join(out: Path, measured: Sequence[Task]) -> tuple[pd.DataFrame, pd.DataFrame, list[Path]]:
    """The tables of all runs as one of each kind."""
    folders = [t.folder for t in measured]
    dynamics = [read_rows(f / DYNAMICS) for f in folders if (f / DYNAMICS).is_file()]
    by_judge = [t for t in measured if t.floor is not None and t.evaluator == JUDGE]  # which interventions go by
    intervened = [t.folder for t in by_judge if _is_done(replace(t, stage="intervene"))]
    history = gather(folders, HISTORY)
    tables = [
        gather(folders, ROWS),
        *dynamics,
        coupling_rows(history),
        *(read_rows(f / INTERVENTIONS) for f in intervened),
    ]
    rows = gated(pd.concat([t for t in tables if len(t)], ignore_index=True))
    about = pd.DataFrame([_about(about_run(folder)) for folder in folders])
    written = [
        write_rows(rows, out / "rows.csv"),
        write_table(history, out / "history.csv"),
        write_table(about, out / "runs.csv"),
    ]
    rows = read_rows(written[0])  # what anyone else would read
    claims = judge(final_rows(rows))
    return rows, claims, [*written, write_table(claims, out / "claims.csv")]


def _about(manifest: Mapping[str, Any]) -> dict[str, object]:
    return {
        **{key: manifest[key] for key in ("arm", "seed", "run_hash")},
        "images_seen": manifest["final"]["images_seen"],
        **{f"{kind}_seconds": round(manifest["seconds"][kind], 1) for kind in ("wall", "cpu")},
        **{key: manifest["identity"][key] for key in ("threads", "device", "torch")},
        **{key: manifest.get("provenance", {}).get(key) for key in ("machine", "commit")},
    }


def conclude(folder: Path) -> tuple[pd.DataFrame, pd.DataFrame, list[Path]]:
    """Verdicts, figures and report of a study from its tables ``rows.csv``, ``history.csv`` and ``runs.csv`` alone,
    which may be compressed (``.csv.gz``)."""
    rows = read_rows(find_table(folder, "rows.csv"))
    try:
        history, about = (pd.read_csv(find_table(folder, name)) for name in ("history.csv", "runs.csv"))
        recipe = _shared(json.loads((folder / "recipe.json").read_text()))
    except (OSError, ValueError, EOFError) as error:
        raise InputError(f"study: {folder} is not the folder of a study: {error}") from None
    claims, matched = judge(final_rows(rows)), judge(matched_rows(rows))
    drawn = draw_study(rows, history, claims, folder / "figures")
    written = [
        write_table(claims, folder / "claims.csv"),
        *([write_table(matched, folder / "claims_matched.csv")] if len(matched) else []),
        write_study_report(folder / "report.md", rows, claims, drawn, about, recipe, matched),
    ]
    return rows, claims, [*written, *drawn]
