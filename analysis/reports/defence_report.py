"""The pages of a study of defences: verdicts on C5, figures and tables, from rows alone."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import pandas as pd

from ...checkpoints.files import atomic_write
from ..claims.defence_claims import ALL
from ..defences.catalogue import UNTREATED
from ..defences.outcomes import detections, inspections, mitigations
from ..results.schema import EVALUATOR_TITLES
from ..results.table import find_table, read_rows
from .captions import CAPTIONS
from .claims_tables import in_short
from .defence_tables import (
    REPAIRED,
    c5_table,
    cost_table,
    detection_table,
    false_positives,
    inspection_table,
    is_repaired,
    mitigation_table,
    needs_table,
    refusals,
)
from .facts import defence_facts
from .interactive import write_page
from .pages import render

__all__ = ["defence_tables", "write_defence_report"]


def write_defence_report(
    path: Path,
    rows: pd.DataFrame,
    tables: tuple[pd.DataFrame, pd.DataFrame, pd.DataFrame],
    claims: pd.DataFrame,
    drawn: Sequence[Path],
    evaluator: str,
    recipes: Mapping[str, Mapping[str, Any]],
) -> list[Path]:
    """Write both pages of a study of defences: that in Markdown, and ``report.html`` beside it.

    Args:
        tables: those of :mod:`..defences.outcomes`, of detections, inspections and mitigations.
        drawn: figures in the folder ``figures`` beside the page; PNGs of two columns are shown.
        evaluator: whose rates after mitigations are shown.
        recipes: of the runs, by name, as far as they are known.
    """
    detected, inspected, treated = tables
    verdicts = claims[claims["verdict"] != ""]
    shown = [figure for figure in drawn if figure.suffix == ".png" and not figure.stem.endswith("-1col")]
    values: dict[str, Any] = {
        "in_short": in_short(verdicts, by=["kind"]) if len(verdicts) else [],
        "recipes": sorted(set(rows["recipe"])),
        "seeds": sorted(set(rows["seed"])),
        "budgets": [f"{budget:g}" for budget in sorted(set(rows["budget"].dropna()))],
        "evaluator": EVALUATOR_TITLES[evaluator] if len(treated) else "",
        "figures": [(f.stem, f"figures/{f.name}", CAPTIONS[f.stem.partition("-")[0]]) for f in shown],
        "all": ALL,
        "repaired": REPAIRED,
        "tables": {
            "claims": c5_table(claims),
            "detection": detection_table(detected),
            "false_positives": false_positives(detected),
            "inspection": inspection_table(inspected),
            "mitigation": mitigation_table(treated),
            "needs": needs_table(rows),
            "refusals": refusals(rows),
            "cost": cost_table(detected, inspected, treated),
        },
    }
    atomic_write(path, render("defences.md.j2", **values))
    values |= {
        "title": "Which defences still work?",
        "answer": _answer(values["in_short"], treated),
        "notice": "",
        "facts": defence_facts(rows, recipes, evaluator),
        "verdicts": _verdict_groups(verdicts),
        "tables": {name: _varying(table) for name, table in values["tables"].items()},
        "csv": find_table(path.parent, "defences.csv").name,
    }
    return [path, write_page(path.with_name("report.html"), "defences.html.j2", values, drawn)]


def _varying(table: pd.DataFrame) -> pd.DataFrame:
    """Without recipe and share where there is only one, which the facts have."""
    return table.drop(columns=[c for c in ("recipe", "share") if c in table and table[c].nunique() == 1])


def _answer(in_short: Sequence[tuple[tuple[str, ...], str]], treated: pd.DataFrame) -> str:
    """One sentence: the verdicts on C5; without any, how often a mitigation repairs an encoder."""
    if in_short:
        found = "; ".join(f"for {kind}, {verdicts}" for (kind,), verdicts in in_short)
        return f"In short: that defences do less against contrastive backdoors is, {found}."
    tried = treated[(treated["defence"] != UNTREATED) & treated["worked"]].dropna(subset=["asr"])
    if tried.empty:
        return "In short: no mitigation was tried on an encoder whose attack works."
    return f"In short: mitigations repair {is_repaired(tried).sum()} of {len(tried)} encoders whose attack works."


def _verdict_groups(verdicts: pd.DataFrame) -> list[tuple[str, list[dict[str, str]]]]:
    """Heading, and a line a contrast."""
    return [
        (
            f"{str(kind).capitalize()}, {recipe}, share {share:g}",
            [
                {key: str(line[key]) for key in ("arm", "against", "verdict")} | {"note": line["why"]}
                for line in found.to_dict("records")
            ],
        )
        for (kind, recipe, share), found in verdicts.groupby(["kind", "recipe", "share"], sort=False)
    ]


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
