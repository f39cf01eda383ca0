"""Studies along one field of the recipe: poison fraction, strength of the trigger or target class."""

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import pandas as pd

from ... import figures
from ...checkpoints.files import atomic_write
from ...representations.errors import InputError
from ...training.arms import ARMS
from ...training.recipe import Recipe
from ..claims.learning_claims import CLAIM_COLUMNS, judge
from ..reports.captions import CAPTIONS
from ..reports.claims_tables import claims_table
from ..reports.labels import LABELS
from ..reports.output import Draw, write_figures
from ..reports.pages import render
from ..reports.readings_table import across_seeds, shown_rows
from ..results.schema import COLUMNS
from ..results.table import final_rows, find_table, read_rows
from ..runs.side_tables import write_table
from .study import STUDY_ARMS, conclude, study

__all__ = ["FIELDS", "conclude_grid", "grid"]

FIELDS = ("poison_fraction", "pair_share", "strength", "target")
TABLE, CLAIMS = "grid.csv", "grid_claims.csv"
DRAWN = ("asr", "smaller_side_mixing", "interference")

Log = Callable[[str], None]


def grid(
    recipe: Recipe, out: Path, field: str, values: Sequence[str], *, log: Log = lambda line: None, **of_study: Any
) -> tuple[pd.DataFrame, pd.DataFrame, list[Path]]:
    """Run a study at each value of a field, in folders below ``out``, and join their rows and verdicts.

    The field is the first column of both tables. After an interruption the same call continues. A value at which no run
    can be trained and measured (a class that the data does not have, say) is logged and left out.

    Args:
        field: one of :data:`FIELDS`.
        values: as text, in the order of the figure.
        of_study: arguments of :func:`.study`.

    Returns:
        rows, verdicts, the files written.

    Raises:
        InputError: before training: another field, fewer than two values, the same value twice, a value that the recipe
            refuses, or no poisoned arm. After it: no value at which a run could be trained.
    """
    if field not in FIELDS:
        raise InputError(f"grid: expected one of {', '.join(FIELDS)}, received {field!r}")
    recipes = {value: recipe.replace(**{field: value}) for value in values}
    if len(values) < 2 or len(set(recipes.values())) < len(values):
        raise InputError(f"grid: expected at least two different values of {field}, received {', '.join(values)}")
    if all(not ARMS[arm].is_poisoned for arm in of_study.get("arms", STUDY_ARMS) if arm in ARMS):
        raise InputError("arms: expected a poisoned arm among those of a grid, received none")
    rows, written, failed = [], [], []
    for value, of_value in recipes.items():
        log(f"{field} {value}")
        folder = out / f"{field}-{value}"
        try:
            *_, files = study(of_value, folder, log=log, **of_study)
        except InputError as error:
            failed.append(f"{field} {value}: {error}")
            log(failed[-1])
            continue
        of_all, _, more = conclude(folder)
        rows.append(of_all.assign(**{field: value})[[field, *COLUMNS]])
        written += [*files, *more]
    if not rows:
        raise InputError(f"grid: nothing could be trained and measured: {'; '.join(failed)[:500]}")
    written.append(write_table(pd.concat(rows, ignore_index=True), out / TABLE))
    table, claims, more = conclude_grid(out)
    return table, claims, [*dict.fromkeys([*written, *more])]


def conclude_grid(out: Path) -> tuple[pd.DataFrame, pd.DataFrame, list[Path]]:
    """Write verdicts, figure and page of a grid from its table ``grid.csv`` (or ``grid.csv.gz``) alone."""
    path = find_table(out, TABLE)
    try:
        field = str(pd.read_csv(path, nrows=0).columns[0])
    except (OSError, ValueError, EOFError) as error:
        raise InputError(f"grid: {out} is not the folder of a grid: {error}") from None
    rows = read_rows(path, first=[field])
    final = {str(value): final_rows(of_value) for value, of_value in rows.groupby(field, sort=False)}
    verdicts = {str(value): judge(of_value) for value, of_value in rows.groupby(field, sort=False)}
    claims = pd.concat([v.assign(**{field: value})[[field, *CLAIM_COLUMNS]] for value, v in verdicts.items()])
    written = [write_table(claims, out / CLAIMS)]
    shown = pd.concat([shown_rows(of_value) for of_value in final.values()])
    first = shown.groupby("measure")["place"].transform("min")  # of several subsets or evaluators, the one shown first
    shown = shown[(shown["place"] == first) & shown["measure"].isin(DRAWN) & shown["reference"].isin(["", "benign"])]
    shown = shown[shown["arm"].map(lambda arm: ARMS[arm].is_poisoned)]  # benign arms are drawn as benign twins
    drawn = [measure for measure in DRAWN if measure in set(shown["measure"])]
    ranges = {"asr": (0.0, 1.0), "smaller_side_mixing": (0.0, 1.0)}
    drawings: dict[str, Draw] = {
        "sweep": lambda width, narrow: figures.sweep(
            shown, field=field, measures=drawn[: 2 if narrow else None], labels=LABELS, ranges=ranges, width=width
        )
    }
    written += write_figures(drawings, out)
    points = [
        (value, claims_table(verdicts[value]), across_seeds(of_value[of_value["measure"].isin(["acc", *DRAWN])]))
        for value, of_value in final.items()
    ]
    page = render("grid.md.j2", field=field, caption=CAPTIONS["sweep"], points=points)
    atomic_write(out / "report.md", page)
    return rows, claims, [*written, out / "report.md"]
