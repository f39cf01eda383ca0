"""The crossed studies, learner × poison: cells, the two-factor table, verdicts, and what they took."""

import json
from functools import cache

import pandas as pd
from intertwine.analysis.reports.cells_table import cells_table, primaries_of
from intertwine.analysis.reports.formatting import MISSING, interval, number, probability
from intertwine.analysis.reports.labels import LABELS
from intertwine.analysis.results.table import find_table, read_rows

from .. import STUDIES
from .form import machines

__all__ = [
    *("CROSSED", "asr_after", "cells", "costs", "counts", "difference", "factors", "means", "rows_of", "verdict"),
    "verdicts",
]

CROSSED = {"crossed-digits": "digits, 16×16", "crossed-cifar10": "CIFAR-10, 16×16"}
"""Study → data. All have SIG's wave, whose direction and phase the seed draws, on half of the target's class."""
CONTRASTS = ("learner", "poison", "interaction")


@cache
def rows_of(study: str) -> pd.DataFrame:
    return read_rows(find_table(STUDIES / study, "rows.csv"))


def claims_of(study: str) -> pd.DataFrame:
    return pd.read_csv(STUDIES / study / "claims.csv", keep_default_na=False)


def cells(study: str) -> pd.DataFrame:
    """One line a cell: rates by three evaluators, primaries between their ends."""
    return cells_table(rows_of(study))


def means(study: str, measure: str, reference: str = "") -> "pd.Series[float]":
    """Means of a primary over the backdoored seeds of each cell, or of one of its ends; by arm."""
    of = primaries_of(rows_of(study))
    of = of[(of["measure"] == measure) & (of["reference"] == reference)]
    return of.groupby("arm", sort=False)["value"].mean()


def counts(study: str, arm: str) -> str:
    """In how many seeds the arm is backdoored: "k of n"."""
    return str(cells(study).set_index("arm").loc[arm, "backdoored"])


def registered(study: str) -> pd.DataFrame:
    """Lines of the registered claims, with ``contrast``: what a line of C4 compares."""
    table = claims_of(study)
    table = table[table["family"] == "registered"]
    kinds = table[table["claim"] == "C4"].drop_duplicates("statement")["statement"]
    return table.assign(contrast=table["statement"].map(dict(zip(kinds, CONTRASTS, strict=True))).fillna(""))


def factors() -> pd.DataFrame:
    """Main effects and interaction of every study: a line a contrast and reading."""
    lines = []
    for study, data in CROSSED.items():
        table = registered(study)
        for row in table[table["claim"] == "C4"].itertuples():
            line = {"data": data, "effect of": row.contrast, "reading": LABELS.get(row.measure, row.measure)}
            line |= {"difference": number(_float(row.effect)), "95 % interval": _interval(row)}
            line |= {"must be": row.part, "p": probability(_float(row.p)), "design": row.design}
            first = row.part != "beside" and row.measure == table[table["claim"] == "C4"]["measure"].iloc[0]
            holm = probability(_float(row.p_holm)) if first else ""
            lines.append(line | {"p (Holm), all parts": holm, "verdict": row.verdict if first else ""})
    return pd.DataFrame(lines)


def difference(study: str, contrast: str, measure: str) -> str:
    """A main effect or the interaction, with its 95 % interval."""
    table = registered(study)
    [row] = table[(table["contrast"] == contrast) & (table["measure"] == measure)].itertuples()
    return f"{number(_float(row.effect))} {_interval(row)}"


def verdicts() -> pd.DataFrame:
    """One line a registered claim and a column a study."""
    found: dict[tuple[str, str], dict[str, str]] = {}
    for study, data in CROSSED.items():
        for row in registered(study).drop_duplicates(["claim", "arm", "against"]).itertuples():
            about = row.contrast or row.arm
            found.setdefault((row.claim, about), {"claim": row.claim, "of": about, "statement": row.statement})
            found[row.claim, about][data] = row.verdict
    return pd.DataFrame(found.values()).fillna(MISSING)


def asr_after(study: str, arm: str, epoch: int) -> "pd.Series[float]":
    """ASR by kNN after this epoch, by seed, as training reported it."""
    runs = pd.read_csv(find_table(STUDIES / study, "history.csv"))
    return runs[(runs["arm"] == arm) & (runs["epoch"] == epoch)].set_index("seed")["asr"]


def verdict(study: str, claim: str, arm: str) -> str:
    table = registered(study)
    return str(table[(table["claim"] == claim) & (table["arm"] == arm)]["verdict"].iloc[0])


def costs() -> pd.DataFrame:
    """Seeds, runs, successes and cost of each study."""
    lines = []
    for study, data in CROSSED.items():
        runs = pd.read_csv(STUDIES / study / "runs.csv", keep_default_na=False)
        successes = cells(study).set_index("arm")["backdoored"]
        recipe = json.loads((STUDIES / study / "recipe.json").read_text())
        line = {"study": f"[{study}](../evidence/studies/{study}/report.md)", "data": data, "recipe": recipe["name"]}
        line |= {"runs": str(len(runs)), "seeds": ", ".join(map(str, sorted(set(runs["seed"]))))}
        line |= {"backdoored": ", ".join(f"{arm} {count}" for arm, count in successes.items())}
        line |= {"CPU minutes of training": f"{runs['cpu_seconds'].sum() / 60:.0f}"}
        lines.append(line | {"machine; commit": machines(runs)})
    return pd.DataFrame(lines)


def _interval(row: object) -> str:
    return interval(_float(row.ci_low), _float(row.ci_high))  # type: ignore[attr-defined]


def _float(value: object) -> float:
    return float("nan") if value == "" else float(str(value))
