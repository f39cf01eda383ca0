"""A grid is a study at each value of a field; its page comes from its one table."""

import pandas as pd
import pytest
from intertwine.analysis.results.schema import COLUMNS
from intertwine.analysis.results.table import read_rows
from intertwine.analysis.studies import grid as grids
from intertwine.analysis.studies.grid import conclude_grid, grid
from intertwine.representations.errors import InputError

from tests.analysis.schema_checks import must_name_tables
from tests.analysis.studies.conftest import FEW, RECIPE
from tests.factories import select

ONE = FEW | {"seeds": 1}
BRIEF = RECIPE.replace(epochs=1)


def test_rows_of_all_points_are_in_one_table_and_the_page_comes_from_it(tmp_path, little, unsaved, undrawn):
    rows, claims, written = grid(BRIEF, tmp_path, "poison_fraction", ["0.2", "0.5"], **ONE)
    assert all(path.is_file() for path in written)
    assert list(rows.columns) == ["poison_fraction", *COLUMNS]
    assert list(dict.fromkeys(rows.poison_fraction)) == list(dict.fromkeys(claims.poison_fraction)) == ["0.2", "0.5"]
    assert {"grid.csv", "grid_claims.csv", "rows.csv"} <= must_name_tables(tmp_path)
    for value, of_value in rows.groupby("poison_fraction"):
        alone = read_rows(tmp_path / f"poison_fraction-{value}" / "rows.csv")
        pd.testing.assert_frame_equal(of_value[COLUMNS].reset_index(drop=True), alone)
    poisons = select(rows, "asr", arm="supervised-dirty").note.str.extract(r"(\d+) poisons")[0].dropna()
    assert poisons.nunique() == 2, "the field reached the plan"

    copy = tmp_path / "copy"
    copy.mkdir()
    (copy / "grid.csv").write_bytes((tmp_path / "grid.csv").read_bytes())
    again, verdicts, made = conclude_grid(copy)
    assert {path.name for path in made} >= {"grid_claims.csv", "sweep.pdf", "sweep-1col.png", "report.md"}
    pd.testing.assert_frame_equal(again, rows)
    pd.testing.assert_frame_equal(verdicts, claims)
    assert (copy / "report.md").read_text() == (tmp_path / "report.md").read_text()


def test_what_it_refuses_before_anything_is_trained(tmp_path):
    for field, values, message in (
        ("lr", ["1", "2"], r"grid: expected one of poison_fraction, .* received 'lr'"),
        ("target", ["0"], "grid: expected at least two different values of target, received 0"),
        ("target", ["0", "0"], "grid: expected at least two different values of target, received 0, 0"),
        ("strength", [".5", "0.50"], r"grid: expected at least two different values of strength, received \.5, 0\.50"),
        ("poison_fraction", ["0.5", "2"], r"poison_fraction: expected .*share.* \(0, 1\]|poison_fraction: expected"),
    ):
        with pytest.raises(InputError, match=message):
            grid(BRIEF, tmp_path / "out", field, values, **ONE)
    with pytest.raises(InputError, match="arms: expected a poisoned arm among those of a grid, received none"):
        grid(BRIEF, tmp_path / "out", "target", ["0", "1"], **ONE | {"arms": ["supervised-benign"]})
    assert not (tmp_path / "out").exists()


def test_a_value_that_the_data_does_not_have_costs_the_others_nothing(tmp_path, little, unsaved, undrawn):
    lines: list[str] = []
    rows, _, _ = grid(BRIEF, tmp_path / "one", "target", ["11", "1"], log=lines.append, **ONE)
    assert set(rows.target) == {"1"}
    assert any(line.startswith("target 11: study: no run could be trained") for line in lines)
    with pytest.raises(InputError, match="grid: nothing could be trained and measured: target 11: "):
        grid(BRIEF, tmp_path / "none", "target", ["11", "12"], **ONE)


def test_a_folder_without_a_grid_is_named(tmp_path):
    with pytest.raises(InputError, match=r"grid: .* is not the folder of a grid"):
        conclude_grid(tmp_path)
    (tmp_path / grids.TABLE).write_text("a,b\n1,2\n")
    with pytest.raises(InputError, match=r"rows: .*expected the columns a, kind, run, arm"):
        conclude_grid(tmp_path)
