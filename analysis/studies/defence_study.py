"""Every defence on every run: cells are done once, in several processes, and joined in one table."""

import json
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import pandas as pd

from ...checkpoints.files import atomic_write
from ...representations.errors import InputError
from ...training.arms import ARMS
from ..claims.declarations import declare_c5
from ..defences.catalogue import DETECTORS, INSPECTIONS, MITIGATIONS, UNTREATED
from ..defences.measurement import detection_rows, inspection_rows, mitigation_rows
from ..panel import PanelOptions
from ..results.schema import DEFAULT_EVALUATOR, NATIVE
from ..results.table import read_rows, write_rows
from ..runs.run import about_run, find_runs, load_run
from ..runs.side_tables import write_table
from ..runs.stamps import is_valid, stamp_of
from ..runs.twins import benign_twin_of
from .defence_conclusion import DEFENCES, conclude_defences
from .executors import ENGINES, Done, attempt, lost

__all__ = ["Cell", "defend", "try_out"]

Log = Callable[[str], None]


@dataclass(frozen=True)
class Cell:
    """One cell: a defence on a run. ``benign``: the run's benign twin, which mitigations need."""

    defence: str
    folder: Path
    benign: Path | None
    budget: float
    options: PanelOptions
    data_root: Path | None
    device: str

    @property
    def table(self) -> Path:
        return self.folder / "defences" / f"{self.defence}.csv"

    def stamp(self) -> dict[str, Any]:
        """What the cell depends on, and its result."""
        runs = [self.folder, *([self.benign] if self.benign else [])]
        sizes = {"images": self.options.images, "bank": self.options.bank} if self.benign else {}
        return stamp_of(runs, [self.table], budget=self.budget, **sizes)

    def is_done(self) -> bool:
        return is_valid(self.table.with_suffix(".json"), self.stamp)


def defend(
    paths: Sequence[Path | str],
    out: Path,
    *,
    only: Sequence[str] | None = None,
    budget: float = 0.1,
    options: PanelOptions | None = None,
    jobs: int = 1,
    threads: int = 1,
    data_root: Path | None = None,
    device: str = "auto",
    engine: str = "local",
    log: Log = lambda line: None,
) -> tuple[pd.DataFrame, list[Path]]:
    """Try detectors and inspections on all runs at or below ``paths``, and mitigations on the poisoned ones.

    The benign twins of the latter must be among the runs. Untreated runs are measured too, for comparison. Finished
    cells are not done again. Cells that fail are listed in ``failures.csv`` and left out.

    Args:
        only: names in :mod:`..defences.catalogue`; all by default.
        budget: share of the training set that the defender knows to be clean. At 0, defences that need clean images
            refuse.
        options: of the panel after mitigations. Their evaluator, ``knn`` or ``ridge``, decides C5; it is written before
            the first cell. Cells hold the rates of both. ``native`` counts as ``knn``: a treated encoder has no head.

    Returns:
        rows of all cells (``defences.csv``), the files written.
    """
    options = options or PanelOptions()
    if options.evaluator == NATIVE:
        options = replace(options, evaluator=DEFAULT_EVALUATOR)
    names = _chosen(only)
    about = {folder.resolve(): about_run(folder) for folder in find_runs(paths)}
    cells = []
    for folder, manifest in about.items():
        poisoned = ARMS[manifest["arm"]].is_poisoned
        benign = benign_twin_of(folder, about) if poisoned else None
        for name in names:
            if name not in MITIGATIONS or benign:
                twin = benign if name in MITIGATIONS else None
                cells.append(Cell(name, folder, twin, budget, options, data_root, device))
    if not cells:
        raise InputError("run: expected poisoned runs with their benign twins for mitigations, received none")
    declare_c5(out, options.evaluator)
    left = [cell for cell in cells if not cell.is_done()]
    log(f"{len(cells) - len(left)} of {len(cells)} cells are done already")
    failed, start = [], time.perf_counter()
    for i, done in enumerate(ENGINES[engine](try_out, left, lost, jobs=jobs, threads=threads), start=1):
        where = f"{done.task.folder.parent.name}/{done.task.folder.name}"
        eta = (time.perf_counter() - start) / i * (len(left) - i)
        log(f"[{i}/{len(left)}] {done.task.defence} on {where}  {done.cpu:.0f} s CPU, ETA {eta:.0f} s{done.why}")
        if done.error:
            failed.append({"cell": str(done.task.table), "error": done.error})
    written = []
    if failed:
        written.append(write_table(pd.DataFrame(failed), out / "failures.csv"))
    else:
        (out / "failures.csv").unlink(missing_ok=True)
    finished = [cell for cell in cells if cell.is_done()]
    if not finished:
        raise InputError(f"defend: no cell could be done: {failed[0]['error'].strip().splitlines()[-1][:300]}")
    rows = pd.concat([read_rows(cell.table) for cell in finished], ignore_index=True)
    rows = read_rows(write_rows(rows, out / DEFENCES))  # the same as a later reader's
    return rows, [out / DEFENCES, *written, *conclude_defences(out)]


def _chosen(only: Sequence[str] | None) -> list[str]:
    """In the order of the catalogue. With any mitigation, the untreated runs that it is compared with."""
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


def try_out(cell: Cell) -> Done:
    """Do one cell."""
    return attempt(cell, _do)


def _do(cell: Cell) -> None:
    run, benign = (
        load_run(f, data_root=cell.data_root, device=cell.device) if f else None for f in (cell.folder, cell.benign)
    )
    assert run is not None
    stamp = cell.table.with_suffix(".json")
    stamp.unlink(missing_ok=True)
    if cell.defence in DETECTORS:
        rows = detection_rows(run, cell.defence, budget=cell.budget)
    elif cell.defence in INSPECTIONS:
        rows = inspection_rows(run, cell.defence, budget=cell.budget)
    else:
        assert benign is not None
        cheap = replace(cell.options, readings="cheap", evaluator=DEFAULT_EVALUATOR)  # cells hold the rates of both
        rows = mitigation_rows(run, benign, cell.defence, budget=cell.budget, options=cheap)
    cell.table.parent.mkdir(exist_ok=True)
    write_rows(rows, cell.table)
    atomic_write(stamp, json.dumps(cell.stamp()).encode())
