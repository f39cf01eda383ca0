"""The page of a study of defences: verdicts on C5, figures and tables, from rows alone."""

from collections.abc import Sequence
from pathlib import Path

import pandas as pd

from ...checkpoints.files import atomic_write
from ..claims.defence_claims import ALL
from ..defences.outcomes import detections, inspections, mitigations
from ..results.schema import EVALUATOR_TITLES
from ..results.table import read_rows
from .captions import CAPTIONS
from .claims_tables import in_short
from .defence_tables import (
    REPAIRED,
    c5_table,
    cost_table,
    detection_table,
    false_positives,
    inspection_table,
    mitigation_table,
    needs_table,
    refusals,
)
from .pages import render

__all__ = ["defence_tables", "write_defence_report"]


def write_defence_report(
    path: Path,
    rows: pd.DataFrame,
    tables: tuple[pd.DataFrame, pd.DataFrame, pd.DataFrame],
    claims: pd.DataFrame,
    drawn: Sequence[Path],
    evaluator: str,
) -> Path:
    """Write the page of a study of defences.

    Args:
        tables: those of :mod:`..defences.outcomes`, of detections, inspections and mitigations.
        drawn: figures in the folder ``figures`` beside the page; PNGs of two columns are shown.
        evaluator: whose rates after mitigations are shown.
    """
    detected, inspected, treated = tables
    verdicts = claims[claims["verdict"] != ""]
    shown = [figure for figure in drawn if figure.suffix == ".png" and not figure.stem.endswith("-1col")]
    page = render(
        "defences.md.j2",
        in_short=in_short(verdicts, by=["kind"]) if len(verdicts) else [],
        recipes=sorted(set(rows["recipe"])),
        seeds=sorted(set(rows["seed"])),
        budgets=[f"{budget:g}" for budget in sorted(set(rows["budget"].dropna()))],
        evaluator=EVALUATOR_TITLES[evaluator] if len(treated) else "",
        figures=[(f.stem, f"figures/{f.name}", CAPTIONS[f.stem.partition("-")[0]]) for f in shown],
        all=ALL,
        repaired=REPAIRED,
        tables={
            "claims": c5_table(claims),
            "detection": detection_table(detected),
            "false_positives": false_positives(detected),
            "inspection": inspection_table(inspected),
            "mitigation": mitigation_table(treated),
            "needs": needs_table(rows),
            "refusals": refusals(rows),
            "cost": cost_table(detected, inspected, treated),
        },
    )
    atomic_write(path, page)
    return path


def defence_tables(runs: Sequence[Path]) -> list[tuple[str, pd.DataFrame]]:
    """Title and text of the tables of what was tried on the runs; none if nothing was."""
    cells = [path for run in runs for path in sorted((run / "defences").glob("*.csv"))]
    if not cells:
        return []
    rows = pd.concat([read_rows(path) for path in cells], ignore_index=True)
    tables = {
        "Detection": detection_table(detections(rows)),
        "Inspection": inspection_table(inspections(rows)),
        "Mitigation": mitigation_table(mitigations(rows)),
    }
    return [(title, table) for title, table in tables.items() if len(table)]
