"""What every table of results must be, whoever makes it: each room's tests ask it of what that room makes."""

import io
from pathlib import Path

import pandas as pd
from intertwine.analysis.results.measures import INCLUDING, MEASURES, RATES
from intertwine.analysis.results.schema import (
    COLUMNS,
    EVALUATOR_TITLES,
    KINDS,
    REFERENCES,
    SIDE_TABLES,
    STATUSES,
    SUBSETS,
)
from intertwine.analysis.results.table import read_rows, write_rows

from tests.factories import typed

WORDS = {
    **{"kind": KINDS, "status": STATUSES, "measure": tuple(MEASURES)},
    **{"subset": ("", *SUBSETS), "reference": ("", *REFERENCES), "evaluator": ("", *EVALUATOR_TITLES)},
    "labels": ("", "given", "pseudo", "true"),
}
"""The columns whose values are of a list."""
OF_DEFENCES = ("defence", "roc")
ROW_TABLES = ("rows.csv", "dynamics.csv", "interventions.csv", "defences.csv", "grid.csv")
"""Tables that are in this schema themselves, as is what a run's folder ``defences`` holds."""


def must_fit_schema(rows: pd.DataFrame, folder: Path) -> None:
    """Columns, words, which columns a kind fills, and that the table comes back from the disk as it was."""
    assert list(rows.columns) == COLUMNS
    assert len(rows), "nothing to look at"
    for column, known in WORDS.items():
        assert set(rows[column]) <= set(known), f"{column}: {set(rows[column]) - set(known)}"

    def only(told: pd.Series, where: pd.Series, what: str) -> None:
        assert not (told & ~where).any(), f"{what}, where it does not apply:\n{rows[told & ~where].to_string()}"

    def exactly(told: pd.Series, where: pd.Series, what: str) -> None:
        only(told, where, what)
        only(where, told, f"no {what}")

    kind = rows["kind"]
    rate = rows["measure"].isin([*RATES, INCLUDING])
    exactly(rows["evaluator"] != "", rate | (kind == "confusion"), "evaluator")
    only(rows["decides"].astype(bool), rate, "decides")
    exactly(rows["x"].notna(), kind.isin(["path", "matched", "confusion", "roc"]), "x")
    exactly(rows["path"] != "", (kind == "path") | (rows["measure"] == "forgetting_coupling"), "path")
    compared = (kind == "pair") | (kind.isin(OF_DEFENCES) & (rows["measure"] == "cka") & (rows["reference"] == ""))
    only(rows["other_layer"] != "", compared, "other layer")
    only(rows["other_run"] != "", compared | (rows["reference"] == "benign"), "other run")
    exactly(rows["defence"] != "", kind.isin(OF_DEFENCES), "defence")
    exactly(rows["share"].notna(), kind.isin(OF_DEFENCES), "share")
    exactly(rows["budget"].notna(), kind.isin(OF_DEFENCES), "budget")
    only(rows["labels"] != "", kind.isin(OF_DEFENCES), "labels")
    exactly(rows["value"].isna(), _without_value(rows), "value that is missing")
    low, high = (rows["measure"].map({name: m.range[i] for name, m in MEASURES.items()}) for i in (0, 1))
    families = rows["measure"].map({name: m.family for name, m in MEASURES.items()})
    outside = (rows["value"] < low) | (rows["value"] > high)
    assert not (outside & (families == "R")).any(), rows[outside & (families == "R")].to_string()
    key = [c for c in COLUMNS if c not in ("value", "ci_low", "ci_high", "n", "d", "decides", "status", "note")]
    assert not rows.duplicated(key).any(), f"told twice:\n{rows[rows.duplicated(key, keep=False)].to_string()}"

    path = write_rows(rows, folder / "of-the-schema.csv")
    pd.testing.assert_frame_equal(read_rows(path), typed(rows), check_exact=True)
    path.unlink()


def _without_value(rows: pd.DataFrame) -> pd.Series:
    """Where a row has no number: undefined ones, and those that a failed backdoor or noise left without one."""
    return rows["value"].isna() & (rows["status"] != "ok") | (rows["status"] == "undefined")


def must_name_tables(written: list[Path] | Path) -> set[str]:
    """Every table at or below a folder (or of a list) is one of rows, and reads as such, or a side table that the
    schema names; the names found."""
    files = sorted(written.rglob("*")) if isinstance(written, Path) else written
    tables = [path for path in files if path.suffix in (".csv", ".npz")]
    for path in tables:
        if path.name in SIDE_TABLES:
            continue
        assert path.name in ROW_TABLES or path.parent.name == "defences", f"{path.name} is in no list of tables"
        head = pd.read_csv(io.StringIO(path.read_text().partition("\n")[0]))
        read_rows(path, first=list(head.columns[: len(head.columns) - len(COLUMNS)]))
    return {path.name for path in tables}
