"""One builder of rows: whatever a caller leaves out is empty, and what the schema does not have is refused."""

import math

import numpy as np
import pandas as pd
import pytest
from intertwine.analysis.results.reading import Reading, undefined
from intertwine.analysis.results.row import RunLabel, build_row, build_rows, table_of
from intertwine.analysis.results.schema import COLUMNS, FLAGS, NUMBERS, TEXTS, WHOLE_NUMBERS

LABEL = RunLabel("simclr-clean/seed2", "simclr-clean", 2, 9.0, "digits", "1a2b3c4d")


def test_a_row_has_every_column_of_the_schema_and_no_other():
    row = build_row(LABEL, Reading(0.25, (0.2, 0.3), 40, note="k = 10", d=16), measure="silhouette", layer="features")
    assert set(row) == set(COLUMNS) == {*TEXTS, *NUMBERS, *WHOLE_NUMBERS, *FLAGS}
    told = {key: value for key, value in row.items() if value not in ("", None, False)}
    assert told == {
        **{"kind": "reading", "run": "simclr-clean/seed2", "arm": "simclr-clean", "seed": 2, "epoch": 9.0},
        **{"recipe": "digits", "plan": "1a2b3c4d", "measure": "silhouette", "layer": "features"},
        **{"value": 0.25, "ci_low": 0.2, "ci_high": 0.3, "n": 40, "d": 16, "status": "ok", "note": "k = 10"},
    }


def test_a_reading_that_is_undefined_says_why():
    row = build_row(RunLabel(), undefined("expected 10 images, received 3"), measure="lid")
    assert (row["status"], row["note"], row["d"]) == ("undefined", "expected 10 images, received 3", None)
    assert all(math.isnan(row[column]) for column in ("value", "ci_low", "ci_high"))


def test_readings_by_layer_are_a_row_each():
    rows = build_rows(LABEL, {"stem": Reading(1.0), "all": Reading(2.0)}, measure="lid", reference="benign")
    assert list(rows.columns) == COLUMNS
    assert rows[["layer", "value", "reference"]].values.tolist() == [["stem", 1.0, "benign"], ["all", 2.0, "benign"]]
    assert table_of([]).empty
    assert list(table_of([]).columns) == COLUMNS


def test_a_column_of_no_schema_is_refused():
    with pytest.raises(ValueError, match="rows: expected columns of the schema, received params, way"):
        build_rows(LABEL, {"all": Reading(1.0)}, params="k=1", way="ascent")
    assert isinstance(build_rows(LABEL, {"all": Reading(1.0)}), pd.DataFrame)


def test_columns_of_numbers_have_one_type_also_where_no_row_has_a_number():
    """Of an encoder without a recipe no row has an epoch. Whoever computes with the column needs no case for it."""
    rows = build_rows(RunLabel("mine", "foreign"), {"all": Reading(1.0)}, measure="lid")
    assert set(rows[[*NUMBERS]].dtypes) == {np.dtype(float)}
    assert rows["epoch"].isna().all()
