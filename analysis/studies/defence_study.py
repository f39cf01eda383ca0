"""Every defence on every run: cells that are done once, in several processes, and joined in one table."""

import json
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pandas as pd

from ...checkpoints.files import atomic_write
from ...representations.errors import InputError
from ...representations.evaluators import EVALUATORS
from ...training.poison import ARMS
from ..defences.catalogue import DETECTORS, INSPECTIONS, MITIGATIONS, UNTREATED
from ..defences.measurement import detection_rows, inspection_rows, mitigation_rows
from ..reports.defence_report import TABLE, conclude_defences, declare_c5
from ..results.table import DEFAULT_EVALUATOR, read_rows, write_rows
from ..runs.run import about_run, find_runs, load_run
from ..runs.side_tables import write_table
from ..runs.stamps import stamp_of, stands
from ..runs.twins import benign_twin_of
from .executors import ENGINES, Done, attempt, lost

__all__ = ["Trial", "defend", "try_out"]

Log = Callable[[str], None]
MOST_BANK = 5000


@dataclass(frozen=True)
class Trial:
    """One cell: a defence on a run. ``benign``: the run's clean twin, which mitigations need."""

    defence: str
    folder: Path
    benign: Path | None
    budget: float
    most: int
    data_root: Path | None
    device: str
    most_bank: int = MOST_BANK

    @property
    def table(self) -> Path:
        return self.folder / "defences" / f"{self.defence}.csv"

    def stamp(self) -> dict[str, Any]:
        """What the cell depends on, and what it gave."""
        runs = [self.folder, *([self.benign] if self.benign else [])]
        # Detectors have no bank; and as it was before it could be chosen, where it is not.
        bank = {"most_bank": self.most_bank} if self.benign and self.most_bank != MOST_BANK else {}
        return stamp_of(runs, [self.table], budget=self.budget, most=self.most, **bank)

    def is_done(self) -> bool:
        return stands(self.table.with_suffix(".json"), self.stamp)


def defend(
    paths: Sequence[Path | str],
    out: Path,
    *,
    only: Sequence[str] | None = None,
    budget: float = 0.1,
    most: int = 2000,
    most_bank: int = MOST_BANK,
    evaluator: str = DEFAULT_EVALUATOR,
    jobs: int = 1,
    threads: int = 1,
    data_root: Path | None = None,
    device: str = "auto",
    engine: str = "local",
    log: Log = lambda line: None,
) -> tuple[pd.DataFrame, list[Path]]:
    """Try detectors and inspections on all runs at or below ``paths``, and mitigations on the poisoned ones whose clean
    twin is among them, in the same folder; those untreated too, for comparison. What is done is not done again; cells
    that fail are listed in ``failures.csv`` and left out.

    Args:
        only: names in :mod:`.catalogue`; all by default.
        budget: share of the training set that the defender knows to be clean; 0: what needs clean images refuses.
        most, most_bank: after mitigations, as in :func:`.panel.panel`.
        evaluator: ``knn`` or ``ridge``, by which rates after mitigations are told and C5 is judged; written down before
            the first cell. Cells hold the rates of both.

    Returns:
        rows of all cells (``defences.csv``), the files written.
    """
    if evaluator not in EVALUATORS:
        raise InputError(f"evaluator: expected one of {', '.join(EVALUATORS)}, received {evaluator!r}")
    names = _chosen(only)
    about = {folder.resolve(): about_run(folder) for folder in find_runs(paths)}
    trials = []
    for folder, manifest in about.items():
        poisoned = ARMS[manifest["arm"]].is_poisoned
        benign = benign_twin_of(folder, about) if poisoned else None
        for name in names:
            if name not in MITIGATIONS or benign:
                twin = benign if name in MITIGATIONS else None
                trials.append(Trial(name, folder, twin, budget, most, data_root, device, most_bank))
    if not trials:
        raise InputError("run: expected poisoned runs with their clean twins for mitigations, received none")
    declare_c5(out, evaluator)
    left = [trial for trial in trials if not trial.is_done()]
    log(f"{len(trials) - len(left)} of {len(trials)} cells are done already")
    failed = []
    for i, done in enumerate(ENGINES[engine](try_out, left, lost, jobs=jobs, threads=threads), start=1):
        where = f"{done.task.folder.parent.name}/{done.task.folder.name}"
        log(f"[{i}/{len(left)}] {done.task.defence} on {where}  {done.cpu:.0f} s CPU{done.why}")
        if done.error:
            failed.append({"cell": str(done.task.table), "error": done.error})
    written = []
    if failed:
        written.append(write_table(pd.DataFrame(failed), out / "failures.csv"))
    else:
        (out / "failures.csv").unlink(missing_ok=True)
    finished = [trial for trial in trials if trial.is_done()]
    if not finished:
        raise InputError(f"defend: no cell could be done: {failed[0]['error'].strip().splitlines()[-1][:300]}")
    rows = pd.concat([read_rows(trial.table) for trial in finished], ignore_index=True)
    rows = read_rows(write_rows(rows, out / TABLE))  # what anyone else would read
    return rows, [out / TABLE, *written, *conclude_defences(out)]


def _chosen(only: Sequence[str] | None) -> list[str]:
    """In the order of the catalogue; with any mitigation, what it is held against."""
    known = [*DETECTORS, *INSPECTIONS, *MITIGATIONS]
    for name in only or ():
        if name not in known:
            raise InputError(f"only: expected some of {', '.join(known)}, received {name!r}")
    wanted = set(known if only is None else only)
    if wanted & set(MITIGATIONS):
        wanted.add(UNTREATED)
    if not wanted:
        raise InputError(f"only: expected some of {', '.join(known)}, received none")
    return [name for name in known if name in wanted]


def try_out(trial: Trial) -> Done:
    """Do one cell."""
    return attempt(trial, _do)


def _do(trial: Trial) -> None:
    run, benign = (
        load_run(f, data_root=trial.data_root, device=trial.device) if f else None for f in (trial.folder, trial.benign)
    )
    assert run is not None
    stamp = trial.table.with_suffix(".json")
    stamp.unlink(missing_ok=True)
    if trial.defence in DETECTORS:
        rows = detection_rows(run, trial.defence, budget=trial.budget)
    elif trial.defence in INSPECTIONS:
        rows = inspection_rows(run, trial.defence, budget=trial.budget)
    else:
        assert benign is not None
        rows = mitigation_rows(
            run, benign, trial.defence, budget=trial.budget, most=trial.most, most_bank=trial.most_bank
        )
    trial.table.parent.mkdir(exist_ok=True)
    write_rows(rows, trial.table)
    atomic_write(stamp, json.dumps(trial.stamp()).encode())
