"""Published numbers, and which of ours stand beside them.

``external.csv`` holds the published ones with their protocols, and in ``ours`` where the row of ours is that stands
beside each: ``objectives:ARM:EVALUATOR``, ``attacks:RUN:MEASURE``, ``search:SETTING:MEASURE``,
``detection:RECIPE/ARM/DEFENCE:MEASURE`` or ``mitigation:…``; where it is empty, nothing of ours does.
"""

from functools import cache
from pathlib import Path
from typing import Any

import pandas as pd
from intertwine.analysis.outcomes import detections, mitigations
from intertwine.analysis.rows import find_table, parse_params, read_rows, select

HERE = Path(__file__).parent
DOCS = HERE.parent
IN_PLACE = {
    "objectives": "10,000 images of CIFAR-10 (JPEG re-encoded), 20 epochs, ResNet-8 of width 16, kNN or ridge probe",
    "attacks": "digits at 16×16, ResNet-8 of width 12, 40 epochs, weighted kNN",
    "detection": "digits at 16×16, blended trigger or patch, as many poisons as half of the class",
    "mitigation": "digits at 16×16, weighted kNN, half of the class poisoned, a tenth of the data known clean",
    "search": "10,000 images of CIFAR-10 (JPEG re-encoded), ResNet-8 of width 12, 20 epochs, weighted kNN",
}
"""What ours were made with, in place of the published protocol."""

Ours = tuple[float, str, str, str]
"""Value (a share), its spread as text, recipe and seeds, hardware and commit."""


@cache
def external() -> pd.DataFrame:
    return pd.read_csv(HERE / "external.csv", keep_default_na=False)


@cache
def origins() -> pd.DataFrame:
    """Hardware and commit of tables that were made before runs said so themselves."""
    return pd.read_csv(HERE / "origins.csv", keep_default_na=False).set_index("table")


def origin(table: str) -> str:
    return "; ".join(origins().loc[table, ["hardware", "commit"]])


def beside(row: Any) -> dict[str, str]:
    """A published number and ours, as a line of the page."""
    kind, place, measure = row.ours.split(":")
    value, spread, of, where = OURS[kind](place, measure)
    return {
        "number": f"{row.what}: {row.metric}",
        **{"theirs": f"{row.value:g}", "ours": f"{100 * value:.1f} {spread}"},
        "difference": f"{100 * value - row.value:+.1f}",
        **{"recipe, seeds of ours": of, "hardware; commit of ours": where},
    }


def _percent(low: float, high: float) -> str:
    return f"[{100 * low:.1f}, {100 * high:.1f}]"


def _objective(arm: str, evaluator: str) -> Ours:
    table = "docs/training/objectives.csv"
    rows = select(read_rows(DOCS.parent / table), arm=arm, measure="acc", reference="", layer="features", run_b="")
    row = _by(rows, evaluator)
    return row.value, _percent(row.ci_low, row.ci_high), f"cifar10-small-cpu, {arm}, seed 0", origin(table)


def _attack(run: str, measure: str) -> Ours:
    table = "docs/training/attacks.csv"
    rows = select(read_rows(DOCS.parent / table), run=f"{run}/seed0", measure=measure, reference="", run_b="")
    row = _by(rows, "knn")
    return row.value, _percent(row.ci_low, row.ci_high), f"{run.replace('/', ', ')}, seed 0", origin(table)


def _by(rows: pd.DataFrame, evaluator: str) -> Any:
    chosen = rows[rows["params"].map(lambda p: parse_params(p).get("evaluator")) == evaluator]
    assert len(chosen) == 1, f"{len(chosen)} rows by {evaluator}"
    return chosen.iloc[0]


@cache
def _defended(kind: str) -> pd.DataFrame:
    rows = read_rows(find_table(DOCS / "studies" / "defences", "defences.csv"))
    return detections(rows) if kind == "detection" else mitigations(rows)


def _defence(kind: str, place: str, measure: str) -> Ours:
    recipe, arm, name = place.split("/")
    table = _defended(kind)
    table = table[(table["recipe"] == recipe) & (table["arm"] == arm) & (table["defence"] == name)]
    if kind == "detection":
        table = table[table["labels"].isin(["given", ""])]
    # Of several shares of poison the one that stands for half of the class's size.
    table = table[table["share"] == (0.3 if "dirty" in arm or recipe != "digits-demo" else 0.5)]
    values = table[measure].dropna()
    seeds = ", ".join(str(int(s)) for s in sorted(table["seed"]))
    return (
        values.mean(),
        _percent(values.min(), values.max()),
        f"{recipe}, {arm}, seeds {seeds}",
        origin("docs/studies/defences"),
    )


def _searched(setting: str, measure: str) -> Ours:
    row = select(tried(), setting=setting, arm="contrastive", seed=0).iloc[0]
    return float(row[measure]), "", f"search, setting {setting}, seed 0", f"{row['machine']}; {row['commit'][:7]}"


OURS = {
    "objectives": _objective,
    "attacks": _attack,
    "detection": lambda place, measure: _defence("detection", place, measure),
    "mitigation": lambda place, measure: _defence("mitigation", place, measure),
    "search": _searched,
}


@cache
def tried() -> pd.DataFrame:
    """Every run of the search for a setting."""
    return pd.read_csv(HERE / "search.csv", keep_default_na=False)
