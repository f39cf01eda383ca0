"""Rows come back from the disk as they were, what is no table of rows is named, and selections select."""

import gzip
import itertools

import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from intertwine.analysis.results.schema import COLUMNS, KINDS, NUMBERS, STATUSES, TEXTS
from intertwine.analysis.results.table import (
    by_deciding_evaluator,
    deciding_evaluators,
    final_rows,
    find_table,
    read_rows,
    select,
    without_points,
    write_rows,
)
from intertwine.representations.errors import InputError

from tests.factories import row, table

number = st.floats(allow_nan=True, allow_infinity=True)
text = st.text(st.characters(exclude_categories=["Cs", "Cc"]), max_size=12).filter(lambda t: t == t.strip())


@given(st.data())
@settings(max_examples=40, deadline=None)
def test_whatever_a_row_holds_comes_back(tmp_path_factory, data):
    made = row("simclr-clean/seed0", "silhouette", data.draw(number))
    for column in NUMBERS:
        made[column] = data.draw(st.none() | number)
    for column in set(TEXTS) - {"kind", "status"}:
        made[column] = data.draw(text)
    made["kind"], made["status"] = data.draw(st.sampled_from(KINDS)), data.draw(st.sampled_from(STATUSES))
    rows = table(made, row("simclr-clean/seed1", "asr", 0.1 + 0.2, note="NA"))
    path = tmp_path_factory.getbasetemp() / "any-rows.csv"
    pd.testing.assert_frame_equal(read_rows(write_rows(rows, path)), rows, check_exact=True)
    other = path.with_name("any-rows.csv.gz")
    other.write_bytes(gzip.compress(path.read_bytes()))
    pd.testing.assert_frame_equal(read_rows(other), rows, check_exact=True)


def test_what_is_no_table_of_rows_is_named(tmp_path):
    good = table(row("simclr-clean/seed0", "asr", 0.5))
    path = write_rows(good, tmp_path / "rows.csv")
    head, line = path.read_text().splitlines()

    def changed(column: str, value: str) -> str:
        cells = line.split(",")
        cells[COLUMNS.index(column)] = value
        return f"{head}\n{','.join(cells)}\n"

    refused = {
        changed("value", "much"): r"rows: .*rows\.csv: column value: could not convert string to float: 'much'",
        changed("seed", "one"): "column seed: could not convert",
        changed("n", ""): "column n: Cannot convert non-finite values",
        changed("decides", "yes"): "column decides: expected True or False, received 'yes'",
        changed("kind", "verdict"): "column kind: expected one of reading, pair, .* received 'verdict'",
        changed("status", "fine"): "column status: expected one of ok, too_few_hits, .* received 'fine'",
        head.replace("note", "params") + "\n": "expected the columns kind, run, .* received kind, .*params",
        "": "is not a table of rows",
        f"{head}\n{line},more\n": "column epoch: could not convert",
    }
    for text, message in refused.items():
        path.write_text(text)
        with pytest.raises(InputError, match=message):
            read_rows(path)
    path.write_bytes(b"\xff\xfe\x00")
    with pytest.raises(InputError, match="is not a table of rows"):
        read_rows(path)
    with pytest.raises(InputError, match=r"rows: .*none\.csv is not there; `intertwine measure` writes it"):
        read_rows(tmp_path / "none.csv")
    packed = tmp_path / "rows.csv.gz"
    for content in (b"not compressed", gzip.compress(head.encode())[:-20]):
        packed.write_bytes(content)
        with pytest.raises(InputError, match=r"rows\.csv\.gz is not a table of rows"):
            read_rows(packed)


def test_a_table_may_have_columns_before_those_of_rows(tmp_path):
    rows = table(row("simclr-clean/seed0", "asr", 0.5)).assign(target="1")[["target", *COLUMNS]]
    rows.to_csv(tmp_path / "grid.csv", index=False)
    assert read_rows(tmp_path / "grid.csv", first=["target"])["target"].tolist() == ["1"]
    with pytest.raises(InputError, match=r"expected the columns kind, run, .* received target, kind"):
        read_rows(tmp_path / "grid.csv")


def test_a_compressed_table_is_found_where_the_plain_one_is_not(tmp_path):
    assert find_table(tmp_path, "rows.csv") == tmp_path / "rows.csv"
    (tmp_path / "rows.csv.gz").touch()
    assert find_table(tmp_path, "rows.csv") == tmp_path / "rows.csv.gz"
    (tmp_path / "rows.csv").touch()
    assert find_table(tmp_path, "rows.csv") == tmp_path / "rows.csv"


def test_final_rows_are_readings_of_each_runs_last_epoch():
    runs = {"simclr-clean/seed0": 4, "simclr-clean/seed1": 2}
    made = [
        row(run, "silhouette", epoch=epoch, kind=kind)
        for (run, last), kind in itertools.product(runs.items(), KINDS)
        for epoch in range(last + 1)
    ]
    rows = table(*made)
    left = set(KINDS) - {"path", "matched", "roc"}
    assert set(without_points(rows)["kind"]) == left
    final = final_rows(rows)
    assert set(final["kind"]) == left
    assert {run: set(of["epoch"]) for run, of in final.groupby("run")} == {run: {last} for run, last in runs.items()}


def test_rates_are_those_of_the_evaluator_that_decides():
    rows = table(
        row("simclr-clean/seed0", "asr", 0.9),
        row("simclr-clean/seed0", "asr", 0.1, evaluator="ridge", decides=False),
        row("simclr-clean/seed1", "asr", 0.8, evaluator="knn", decides=False),
        row("simclr-clean/seed1", "asr", 0.2, evaluator="ridge"),
    )
    assert by_deciding_evaluator(rows)["value"].tolist() == [0.9, 0.2]
    assert deciding_evaluators(rows) == ["knn", "ridge"]
    assert deciding_evaluators(rows.head(2)) == ["knn"]
    assert deciding_evaluators(rows.head(0)) == []
    assert select(rows, evaluator="ridge", seed=1)["value"].tolist() == [0.2]
