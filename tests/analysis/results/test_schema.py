"""The schema's own lists fit together, and what does not fit it is found. (Each room asks
``schema_checks.must_fit_schema`` of the rows that it makes.)"""

import pytest
from intertwine.analysis.results.schema import (
    COLUMNS,
    DEFAULT_EVALUATOR,
    EVALUATOR_TITLES,
    FLAGS,
    NATIVE,
    NUMBERS,
    SIDE_TABLES,
    TEXTS,
    WHOLE_NUMBERS,
)
from intertwine.analysis.runs import side_tables
from intertwine.representations.evaluators import EVALUATORS

from tests.analysis.schema_checks import must_fit_schema, must_name_tables
from tests.factories import row, table

RUN = "simclr-clean/seed0"


def test_every_column_has_one_type():
    assert sorted(COLUMNS) == sorted([*TEXTS, *NUMBERS, *WHOLE_NUMBERS, *FLAGS])


def test_every_evaluator_has_a_title():
    assert set(EVALUATOR_TITLES) == {*EVALUATORS, NATIVE}
    assert DEFAULT_EVALUATOR in EVALUATORS


def test_side_tables_of_runs_are_named():
    names = {getattr(side_tables, name) for name in ("HISTORY", "EMBEDDING", "GALLERY", "THUMBNAILS", "SPECTRUM")}
    assert names | {side_tables.LAYER_CKA} <= set(SIDE_TABLES)
    assert all(SIDE_TABLES.values())


def test_what_fits_the_schema_passes_and_what_does_not_is_found(tmp_path):
    fits = row(RUN, "silhouette", 0.5, subset="triggered")
    must_fit_schema(table(fits, row(RUN, "asr", 0.5, subset="triggered")), tmp_path)
    wrong = {
        "subset": fits | {"subset": "P+"},
        "reference": fits | {"reference": "twin"},
        "measure": fits | {"measure": "beauty"},
        "evaluator": fits | {"evaluator": "knn"},
        "no evaluator": row(RUN, "asr", 0.5, evaluator="", decides=False),
        "decides": fits | {"decides": True},
        "x": fits | {"x": 1.0},
        "no x": fits | {"kind": "roc", "defence": "scan", "share": 0.5, "budget": 0.1},
        "path": fits | {"path": "ascent"},
        "no path": row(RUN, "asr", 0.5, kind="path", x=0.0),
        "other layer": fits | {"other_layer": "stem"},
        "other run": fits | {"other_run": "simclr-benign/seed0"},
        "defence": fits | {"defence": "scan"},
        "no defence": fits | {"kind": "defence", "share": 0.5, "budget": 0.1},
        "value that is missing": fits | {"value": float("nan")},
        "asr": row(RUN, "asr", 1.5),
    }
    for what, made in wrong.items():
        with pytest.raises(AssertionError, match=what):
            must_fit_schema(table(made), tmp_path)
    with pytest.raises(AssertionError, match="told twice"):
        must_fit_schema(table(fits, fits), tmp_path)
    assert not list(tmp_path.glob("*.csv")) or must_name_tables([]) == set()


def test_a_table_of_no_name_is_found(tmp_path):
    (tmp_path / "claims.csv").write_text("claim\n")
    assert must_name_tables(tmp_path) == {"claims.csv"}
    (tmp_path / "mine.csv").write_text("a,b\n1,2\n")
    with pytest.raises(AssertionError, match=r"mine\.csv is in no list of tables"):
        must_name_tables(tmp_path)
