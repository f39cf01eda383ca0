"""Several runs compared: each with its benign twin, then verdicts, figures and a report."""

from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import pandas as pd

from ...representations.encoders import FEATURES
from ...representations.errors import InputError
from ..claims.learning_claims import judge
from ..panel import PanelOptions
from ..panel.steps import OnStep
from ..reports.drawing import GEOMETRY, draw_all
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
from ..runs.twins import benign_twin_of, differing

__all__ = ["compare"]


def compare(
    paths: Sequence[Path | str],
    out: Path,
    *,
    notice: str = "",
    options: PanelOptions | None = None,
    load: Callable[[Path], Run] = load_run,
    log: Callable[[str], None] = lambda line: None,
    on_step: OnStep | None = None,
) -> tuple[pd.DataFrame, pd.DataFrame, list[Path]]:
    """Join the rows of all runs at or below ``paths``; write verdicts, figures and report into ``out``.

    A run is measured now, by the options, if it was not measured yet against the benign twin that is among the runs.
    ``log`` gets a line for each step, ``on_step`` the progress of those that take long.

    Returns:
        rows, claims, the files written.
    """
    about = {folder: about_run(folder) for folder in find_runs(paths)}
    folders = list(about)
    _must_be_comparable(about)
    for folder in folders:
        benign = benign_twin_of(folder, about)
        if _is_measured(folder, about[benign] if benign else None):
            continue
        log(f"measuring {folder}" + (f" against {benign}" if benign else ""))
        measure_folder(folder, benign, options, load=load, on_step=on_step)
    _compare_layers(about, load, log)
    rows = gather(folders, ROWS)
    if len(evaluators := deciding_evaluators(rows)) > 1:
        raise InputError(
            f"run: expected rows by one evaluator, received {' and '.join(evaluators)}; measure some again"
        )
    claims = judge(rows)
    written = [write_rows(rows, out / ROWS), write_table(claims, out / "claims.csv")]
    log("drawing figures")
    drawn = draw_all(folders, rows, out / "figures", on_step=on_step)
    manifests = list(about.values())
    pages = write_report(out / "report.md", rows, claims, drawn, manifests, notice=notice, folders=folders)
    written += [*pages, *drawn]
    return rows, claims, written


def _compare_layers(
    about: Mapping[Path, Mapping[str, Any]], load: Callable[[Path], Run], log: Callable[[str], None]
) -> None:
    """Write CKA of the layers of each contrastive run with those of its supervised sibling, as a table of the run."""
    folders = {(manifest["arm"], manifest["seed"]): folder for folder, manifest in about.items()}
    supervised, contrastive = GEOMETRY
    for (arm, seed), folder in folders.items():
        sibling = folders.get((supervised, seed))
        if arm != contrastive or sibling is None:
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
