"""Several runs together: floors joined, verdicts, figures, report."""

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import pandas as pd

from ..checkpoints.store import load_checkpoint
from ..representations.errors import InputError
from ..training.poison import ARMS
from .claims import judge
from .drawing import draw_all
from .report import write_report
from .rows import read_rows, write_rows
from .runs import (
    EMBEDDING,
    GALLERY,
    ROWS,
    Run,
    embed_run,
    find_runs,
    gather,
    load_run,
    measure_run,
    save_gallery,
    write_table,
)

__all__ = ["compare", "floor_of", "measure_folder"]


def floor_of(folder: Path, folders: Sequence[Path]) -> Path | None:
    """The run among ``folders`` that is the clean twin of ``folder``: its method's clean arm with the same plan."""
    about = {f: load_checkpoint(f).manifest for f in [folder, *folders]}
    mine = about[folder]
    if ARMS[mine["arm"]].poisons == "none":
        return None
    twins = [
        f
        for f in folders
        if about[f]["arm"] == ARMS[mine["arm"]].floor and about[f]["plan"]["hash"] == mine["plan"]["hash"]
    ]
    return twins[0] if twins else None


def measure_folder(
    folder: Path,
    floor: Path | None,
    *,
    out: Path | None = None,
    layers: Sequence[str] | None = None,
    embed: bool = True,
    load: Callable[[Path], Run] = load_run,
) -> list[Path]:
    """Measure a run and write ``rows.csv``, and the side tables that the figures need, into it (or into ``out``)."""
    run, out = load(folder), out or folder
    written = [write_rows(measure_run(run, load(floor) if floor else None, layers=layers), out / ROWS)]
    if embed:
        written += [write_table(embed_run(run), out / EMBEDDING), save_gallery(run, out / GALLERY)]
    return written


def compare(
    paths: Sequence[Path | str],
    out: Path,
    *,
    notice: str = "",
    load: Callable[[Path], Run] = load_run,
    log: Callable[[str], None] = lambda line: None,
) -> tuple[pd.DataFrame, pd.DataFrame, list[Path]]:
    """Join the rows of all runs at or below ``paths``; judge, draw and report into ``out``.

    A run that was not measured yet, or not against the floor that is among the runs, is measured now.

    Returns:
        rows, claims, the files written.
    """
    folders = find_runs(paths)
    for folder in folders:
        floor = floor_of(folder, folders)
        if _is_measured(folder, floor):
            continue
        log(f"measuring {folder}" + (f" against {floor}" if floor else ""))
        measure_folder(folder, floor, load=load)
    rows = gather(folders, ROWS)
    about: list[dict[str, Any]] = [load_checkpoint(f).manifest for f in folders]
    names = [f"{m['arm']}/seed{m['seed']}" for m in about]
    if twice := sorted({n for n in names if names.count(n) > 1}):
        raise InputError(f"run: expected each arm and seed once, received {', '.join(twice)} more than once")
    claims = judge(rows)
    written = [write_rows(rows, out / ROWS), write_table(claims, out / "claims.csv")]
    log("drawing figures")
    drawn = draw_all(folders, rows, out / "figures")
    written += [write_report(out / "report.md", rows, claims, drawn, about, notice=notice), *drawn]
    return rows, claims, written


def _is_measured(folder: Path, floor: Path | None) -> bool:
    if not all((folder / name).is_file() for name in (ROWS, EMBEDDING, GALLERY)):
        return False
    return floor is None or "floor" in set(read_rows(folder / ROWS)["reference"])
