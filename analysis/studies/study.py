"""A study: arms × seeds of one recipe, trained and measured unattended. Its predicates are written before it starts."""

import json
import time
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import pandas as pd

from ...checkpoints.files import atomic_write
from ...representations.errors import InputError
from ...training.arms import ARMS
from ...training.recipe import EARLIER, Recipe
from ..claims.learning_claims import judge, predicates
from ..learning.curves import coupling_rows
from ..learning.matched_asr import matched_rows
from ..panel import PanelOptions
from ..panel.steps import OnStep
from ..reports.drawing import draw_study
from ..reports.run_report import write_study_report
from ..results.gates import gated
from ..results.table import find_table, read_rows, write_rows
from ..runs.run import about_run
from ..runs.side_tables import HISTORY, ROWS, gather, write_table
from .executors import ENGINES, Done, lost
from .tasks import DYNAMICS, INTERVENTIONS, Task, is_done, needs, tasks_of, work

__all__ = ["STUDY_ARMS", "conclude", "study", "with_benign_twins"]

STUDY_ARMS = (
    *("supervised-benign", "supcon-benign", "simclr-benign"),
    *("supervised-dirty", "supcon-dirty", "simclr-dirty", "supervised-clean", "supcon-clean", "simclr-clean"),
)
RECIPE = "recipe.json"
Log = Callable[[str], None]


def study(
    recipe: Recipe,
    out: Path,
    *,
    arms: Sequence[str] = STUDY_ARMS,
    seeds: int = 3,
    most_seeds: int | None = None,
    first_seed: int = 0,
    jobs: int = 1,
    threads: int = 1,
    engine: str = "local",
    data_root: Path | None = None,
    device: str = "auto",
    options: PanelOptions | None = None,
    interventions: bool = True,
    log: Log = lambda line: None,
) -> tuple[pd.DataFrame, pd.DataFrame, list[Path]]:
    """Train and measure every arm with ``seeds`` seeds from ``first_seed`` on, then join rows and compute verdicts.

    :func:`conclude` draws and reports. :func:`.join.join_studies` joins the parts of a study that ran on several
    machines. Finished tasks are not done again: after an interruption or a failure the same call continues. A run that
    fails is listed in ``failures.csv`` and left out of the tables.

    Args:
        arms: the benign twins of poisoned arms are added.
        most_seeds: go on, seed by seed, with the poisoned arms in which fewer than ``seeds`` runs are backdoored, up to
            so many seeds. By default no seed is added.
        jobs: tasks at once.
        threads: CPU threads of each task; part of a run's identity.
        engine: ``local`` for processes of this machine, ``ray`` for a Ray cluster that shares ``out``.
        options: of the measurements (images, bank and evaluator). Interventions use ``images`` images of the test set
            and of the bank, and kNN.
        interventions: also change the weights of poisoned encoders, unlearn, erase and match ASR
            (:mod:`..learning.interventions`). This costs about as much as training them.

    Returns:
        rows of all runs (final panels, snapshots, curves and interventions), verdicts, the files written.

    Raises:
        InputError: unknown arms or engine; ``out`` holds a study with other predicates or another recipe.
    """
    options = options or PanelOptions()
    wanted = with_benign_twins(arms)
    if seeds < 1:
        raise InputError(f"seeds: expected at least 1, received {seeds}")
    if first_seed < 0:
        raise InputError(f"first_seed: expected 0 or more, received {first_seed}")
    if most_seeds is not None and most_seeds < seeds:
        raise InputError(f"most_seeds: expected at least the {seeds} seeds, received {most_seeds}")
    if engine not in ENGINES:
        raise InputError(f"engine: expected one of {', '.join(ENGINES)}, received {engine!r}")
    _declare(out, recipe, options.evaluator)
    how: dict[str, Any] = {"data_root": data_root, "device": device, "threads": threads}
    failed: dict[str, Done] = {}
    trained: set[Path] = set()

    def do(stage: str, recipes: Sequence[Recipe]) -> list[Task]:
        """Do a stage of these runs; return the tasks that are done."""
        tasks = tasks_of(stage, recipes, out, options, **how)
        runnable = [t for t in tasks if stage == "train" or trained.issuperset(needs(t))]
        for done in _run(runnable, engine, jobs, threads, log):
            failed.pop(done.task.name, None)
            if done.error:
                failed[done.task.name] = done
        return [t for t in runnable if is_done(t)]

    measured: list[Task] = []
    lacking, seed = wanted, first_seed
    while lacking and seed < first_seed + max(seeds, most_seeds or 0):
        upto = first_seed + seeds if seed == first_seed else seed + 1
        more = [recipe.replace(arm=arm, seed=s) for s in range(seed, upto) for arm in lacking]
        seed = upto
        trained |= {t.folder for t in do("train", more)}
        measured += do("measure", more)
        lacking = with_benign_twins(few) if (few := _few_successes(measured, arms, seeds)) else []
        if most_seeds and few:
            log(f"fewer than {seeds} successes after seed {seed - 1}: {', '.join(few)}")
    if interventions:
        do("intervene", [t.recipe for t in measured])
    _write_failures(out, failed.values())
    if not measured:
        reasons = sorted({d.error.strip().splitlines()[-1] for d in failed.values()})
        raise InputError(f"study: no run could be trained and measured: {'; '.join(reasons)[:500]}")
    rows, claims, written = _join(out, measured)
    if failed:
        log(f"{len(failed)} tasks failed, see {out / 'failures.csv'}; the same command tries them again")
    return rows, claims, written


def _few_successes(measured: Sequence[Task], arms: Sequence[str], enough: int) -> list[str]:
    """The poisoned arms in which fewer than ``enough`` runs are backdoored."""
    works: dict[str, int] = {arm: 0 for arm in arms if ARMS[arm].is_poisoned}
    for task in measured:
        if task.recipe.arm in works:
            rows = read_rows(task.folder / ROWS)
            found = rows[(rows["measure"] == "backdoored") & (rows["reference"] == "")]["value"]
            works[task.recipe.arm] += int((found == 1).any())
    return [arm for arm, count in works.items() if count < enough]


def with_benign_twins(arms: Sequence[str]) -> list[str]:
    """In the order of the table of arms, with the benign twin of each."""
    for arm in arms:
        if arm not in ARMS:
            raise InputError(f"arms: expected some of {', '.join(ARMS)}, received {arm!r}")
        if ARMS[arm].poison == "model":
            raise InputError(f"arms: expected arms that are trained from the start, received {arm!r}")
    if not arms:
        raise InputError(f"arms: expected some of {', '.join(ARMS)}, received none")
    wanted = {*arms, *(ARMS[arm].benign for arm in arms)}
    return [arm for arm in ARMS if arm in wanted]


def _declare(out: Path, recipe: Recipe, evaluator: str) -> None:
    """Write predicates and recipe before anything is trained; refuse to continue with others."""
    shared = _shared(recipe.to_dict())
    declared = predicates() | {"evaluator": evaluator}
    for path, content in ((out / "predicates.json", declared), (out / RECIPE, shared)):
        text = json.dumps(content, indent=1)
        if path.is_file() and not _same(path, content):
            raise InputError(
                f"out: {path} is not what this study would begin with: it holds a study of another recipe, "
                f"evaluator or other predicates; choose another folder"
            )
        if not path.is_file():
            atomic_write(path, text.encode())


def _same(path: Path, content: Mapping[str, Any]) -> bool:
    """Whether the file says the same, in whatever order, as a study of today would write down."""
    try:
        found = json.loads(path.read_text())
    except ValueError:
        return False
    if path.name == RECIPE and isinstance(found, dict):
        found = {name: value for name, value in (EARLIER | found).items() if name not in ("arm", "seed")}
    return bool(found == json.loads(json.dumps(content)))


def _shared(recipe: Mapping[str, Any]) -> dict[str, Any]:
    """The fields that all runs of a study share: all of a recipe except arm and seed."""
    recipe = {**recipe, **{name: value for name, value in EARLIER.items() if name not in recipe}}
    if missing := Recipe.__dataclass_fields__.keys() - {"arm", "seed"} - recipe.keys():
        raise InputError(f"recipe: expected all fields, received none for {', '.join(sorted(missing))}")
    return {k: v for k, v in recipe.items() if k not in ("arm", "seed")}


def _run(tasks: Sequence[Task], engine: str, jobs: int, threads: int, log: Log) -> Iterable[Done]:
    """Run the tasks that are not done yet; log a line for each, with the time that is left."""
    left = [t for t in tasks if not is_done(t)]
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
    """Join the tables of all runs, one of each kind."""
    folders = [t.folder for t in measured]
    dynamics = [read_rows(f / DYNAMICS) for f in folders if (f / DYNAMICS).is_file()]
    poisoned = [t for t in measured if t.benign is not None]
    intervened = [t.folder for t in poisoned if is_done(replace(t, stage="intervene"))]
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
    rows = read_rows(written[0])  # the same as a later reader's
    claims = judge(rows)
    return rows, claims, [*written, write_table(claims, out / "claims.csv")]


def _about(manifest: Mapping[str, Any]) -> dict[str, object]:
    return {
        **{key: manifest[key] for key in ("arm", "seed", "run_hash")},
        "images_seen": manifest["final"]["images_seen"],
        **{f"{kind}_seconds": round(manifest["seconds"][kind], 1) for kind in ("wall", "cpu")},
        **{key: manifest["identity"][key] for key in ("threads", "device", "torch")},
        **{key: manifest.get("provenance", {}).get(key) for key in ("machine", "commit")},
    }


def conclude(folder: Path, *, on_step: OnStep | None = None) -> tuple[pd.DataFrame, pd.DataFrame, list[Path]]:
    """Write verdicts, figures and report of a study from ``rows.csv``, ``history.csv`` and ``runs.csv`` alone.

    The tables may be compressed (``.csv.gz``).
    """
    rows = read_rows(find_table(folder, "rows.csv"))
    try:
        history, about = (pd.read_csv(find_table(folder, name)) for name in ("history.csv", "runs.csv"))
        recipe = _shared(json.loads((folder / RECIPE).read_text()))
    except (OSError, ValueError, EOFError) as error:
        raise InputError(f"study: {folder} is not the folder of a study: {error}") from None
    claims, matched = judge(rows), judge(matched_rows(rows))
    drawn = draw_study(rows, history, claims, folder / "figures", on_step=on_step)
    written = [
        write_table(claims, folder / "claims.csv"),
        *([write_table(matched, folder / "claims_matched.csv")] if len(matched) else []),
        write_study_report(folder / "report.md", rows, claims, drawn, about, recipe, matched),
    ]
    return rows, claims, [*written, *drawn]
