"""Verdicts, figures and page of a study of defences, from its table alone."""

import json
from pathlib import Path
from typing import Any

from ...checkpoints.files import atomic_write
from ...representations.errors import InputError
from ..claims.declarations import PREDICATES_C5, declared_evaluator
from ..claims.defence_claims import judge_defences, predicates_c5
from ..defences.outcomes import detections, inspections, mitigations
from ..reports.defence_drawing import draw_defences
from ..reports.defence_report import write_defence_report
from ..results.table import find_table, read_rows
from ..runs.side_tables import write_table

__all__ = ["CLAIMS_C5", "DEFENCES", "RECIPES", "conclude_defences"]

DEFENCES, CLAIMS_C5, RECIPES = "defences.csv", "claims_c5.csv", "recipes.json"


def conclude_defences(folder: Path) -> list[Path]:
    """Write verdicts, figures and page from ``defences.csv`` (or ``defences.csv.gz``) alone.

    Returns:
        the files.
    """
    rows, evaluator = read_rows(find_table(folder, DEFENCES)), declared_evaluator(folder)
    tables = detections(rows), inspections(rows), mitigations(rows, evaluator)
    if all(table.empty for table in tables):
        raise InputError(f"defences: {folder} has no rows of defences in its {DEFENCES}")
    detected, _, treated = tables
    claims = judge_defences(detected, treated)
    drawn = draw_defences(rows, detected, treated, folder / "figures")
    pages = write_defence_report(folder / "defences.md", rows, tables, claims, drawn, evaluator, _recipes(folder))
    written = []
    if len(claims):
        atomic_write(folder / PREDICATES_C5, json.dumps(predicates_c5(evaluator), indent=1).encode())
        written = [write_table(claims, folder / CLAIMS_C5), folder / PREDICATES_C5]
    return [*written, *pages, *drawn]


def _recipes(folder: Path) -> dict[str, dict[str, Any]]:
    """The recipes of the runs, by name; none in the folder of an earlier version."""
    try:
        return dict(json.loads((folder / RECIPES).read_text()))
    except FileNotFoundError:
        return {}
    except (OSError, ValueError, TypeError) as error:
        raise InputError(f"defences: {folder / RECIPES} cannot be read: {error}") from None
