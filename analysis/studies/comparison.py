"""Several runs compared: each with its benign twin, then verdicts, figures and a report."""

import importlib.util
import json
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict
from functools import partial
from pathlib import Path
from typing import Any

import pandas as pd

from ...checkpoints.files import atomic_write
from ...checkpoints.shipped import copy_run
from ...representations.encoders import FEATURES
from ...representations.errors import InputError
from ...training.arms import ARMS
from ..claims.learning_claims import judge
from ..panel import PanelOptions
from ..reports.defence_report import defence_tables
from ..reports.drawing import GEOMETRY, draw_all
from ..reports.interactive import write_interactive
from ..reports.run_report import write_report
from ..results.table import deciding_evaluators, read_rows, write_rows
from ..runs.measurement import measure_folder
from ..runs.run import Run, about_run, find_runs, load_run
from ..runs.side_tables import (
    EMBEDDING,
    GALLERY,
    LAYER_CKA,
    ROWS,
    SPECTRUM,
    THUMBNAILS,
    gather,
    layer_cka,
    write_table,
)
from ..runs.stamps import is_valid, stamp_of
from ..runs.twins import benign_twin_of, differing

__all__ = ["compare"]

STAMP = "measured.json"
"""Beside rows of a copy: what they depend on."""


def compare(
    paths: Sequence[Path | str],
    out: Path,
    *,
    notice: str = "",
    options: PanelOptions | None = None,
    apart: bool = False,
    pair: tuple[str, str] = GEOMETRY,
    load: Callable[[Path], Run] = load_run,
    log: Callable[[str], None] = lambda line: None,
) -> tuple[pd.DataFrame, pd.DataFrame, list[Path]]:
    """Join the rows of all runs of these names; write verdicts, figures and report into ``out``.

    A run is measured now, by the options, if it was not measured yet against the benign twin that is among the runs.

    Args:
        paths: names of runs, as in :func:`..runs.run.find_runs`.
        apart: measure copies of the runs in ``out/runs``. Rows by other options must not pass for those of a run.
        pair: the two arms whose layers are compared, seed by seed.

    Returns:
        rows, claims, the files written.
    """
    _must_be_arms(pair)
    found = find_runs(paths)
    if apart:
        found = [copy_run(folder, out / "runs" / _short_name(folder)) for folder in found]
    about = {folder: about_run(folder) for folder in found}
    folders = list(about)
    _must_be_comparable(about)
    for folder in folders:
        benign = benign_twin_of(folder, about)
        stamp = partial(_stamp, folder, benign, options)
        if _is_measured(folder, about[benign] if benign else None) and (not apart or is_valid(folder / STAMP, stamp)):
            continue
        log(f"measuring {folder}" + (f" against {benign}" if benign else ""))
        measure_folder(folder, benign, options, load=load)
        if apart:
            atomic_write(folder / STAMP, json.dumps(stamp()).encode())
    _compare_layers(about, pair, load, log)
    rows = gather(folders, ROWS)
    if len(evaluators := deciding_evaluators(rows)) > 1:
        raise InputError(
            f"run: expected rows by one evaluator, received {' and '.join(evaluators)}; measure some again"
        )
    claims = judge(rows)
    written = [write_rows(rows, out / ROWS), write_table(claims, out / "claims.csv")]
    log("drawing figures")
    drawn = draw_all(folders, rows, out / "figures", pair=pair)
    written += [write_report(out / "report.md", rows, claims, drawn, list(about.values()), notice=notice), *drawn]
    if importlib.util.find_spec("plotly") is None:
        log("no report.html: pip install 'intertwine[report]' for the interactive report")
    else:
        page = out / "report.html"
        tables = defence_tables(folders)
        written.append(write_interactive(page, folders, rows, claims, notice=notice, defences=tables))
    return rows, claims, written


def _must_be_arms(pair: tuple[str, str]) -> None:
    if len(pair) != 2 or pair[0] == pair[1] or not set(pair) <= set(ARMS):
        raise InputError(f"pair: expected two arms of {', '.join(ARMS)}, received {', '.join(pair)}")


def _short_name(folder: Path) -> Path:
    """``ARM/seedN`` of the folder of a run, as studies place it; the last part of any other."""
    return Path(*folder.parts[-2:]) if folder.name.startswith("seed") else Path(folder.name)


def _stamp(folder: Path, benign: Path | None, options: PanelOptions | None) -> dict[str, Any]:
    """What the rows of a copy depend on."""
    chosen = {name: str(value) for name, value in asdict(options or PanelOptions()).items()}
    return stamp_of([folder, *([benign] if benign else [])], [folder / ROWS], **chosen)


def _compare_layers(
    about: Mapping[Path, Mapping[str, Any]],
    pair: tuple[str, str],
    load: Callable[[Path], Run],
    log: Callable[[str], None],
) -> None:
    """Write CKA of the layers of both arms of the pair, as a table of each run of the second."""
    folders = {(manifest["arm"], manifest["seed"]): folder for folder, manifest in about.items()}
    first, second = pair
    for (arm, seed), folder in folders.items():
        sibling = folders.get((first, seed))
        if arm != second or sibling is None:
            continue
        names = {about[sibling]["run_hash"], about[folder]["run_hash"]}
        if (folder / LAYER_CKA).is_file() and set(pd.read_csv(folder / LAYER_CKA, nrows=1)["of"][0].split()) == names:
            continue
        log(f"comparing the layers of {sibling} and {folder}")
        write_table(layer_cka(load(sibling), load(folder)).assign(of=" ".join(sorted(names))), folder / LAYER_CKA)


def _must_be_comparable(about: Mapping[Path, Mapping[str, Any]]) -> None:
    """Each arm and seed once, and one recipe for all: other runs would not be a contrast of arms."""
    names = [f"{m['arm']}/seed{m['seed']}" for m in about.values()]
    if twice := sorted({n for n in names if names.count(n) > 1}):
        raise InputError(f"run: expected each arm and seed once, received {', '.join(twice)} more than once")
    (first, reference), *others = about.items()
    for folder, manifest in others:
        if fields := differing(reference, manifest, ignore=("name", "arm", "seed")):
            raise InputError(
                f"run: expected one recipe except for arm and seed; {folder} has {'; '.join(fields)} of {first}"
            )


def _is_measured(folder: Path, benign: Mapping[str, Any] | None) -> bool:
    """Whether all side tables exist, and rows at the output, against the benign twin if there is one. (``measure``
    writes parts of the rows elsewhere.)"""
    if not all((folder / name).is_file() for name in (ROWS, EMBEDDING, GALLERY, THUMBNAILS, SPECTRUM)):
        return False
    rows = read_rows(folder / ROWS)
    benign_twins = set(rows.loc[rows["reference"] == "benign", "other_run"])
    wanted = {f"{benign['arm']}/seed{benign['seed']}"} if benign else set()
    return benign_twins == wanted and FEATURES in set(rows["layer"])
