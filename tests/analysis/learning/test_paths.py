"""Rates along a path are those of the panel, and rows of the kind path."""

import pytest
from intertwine.analysis.learning.paths import Rates, point_rows
from intertwine.analysis.panel import PanelOptions
from intertwine.analysis.runs.measurement import measure_run

from tests.analysis.schema_checks import must_fit_schema
from tests.factories import select


def test_rates_are_those_of_the_panel(pair):
    run, _, rates = pair
    rows = measure_run(run, None, PanelOptions("acc", layers=["features"]))
    knn = rows[(rows.reference == "") & (rows.evaluator == "knn")].set_index("measure")["value"]
    assert rates(run.encoder) == pytest.approx((knn["acc"], knn["asr"]))


def test_few_images_are_those_that_a_panel_draws(pair):
    run = pair[0]
    few = Rates.of(run, most=100)
    assert (len(few.test), len(few.bank)) == (100, 100)
    rows = measure_run(run, None, PanelOptions("silhouette", images=100, bank=100, layers=["features"]))
    assert select(rows, "silhouette", subset="triggered").n.item() == int((few.labels != few.target).sum())


def test_points_are_rows_of_a_path(pair, tmp_path):
    rows = point_rows(pair[0], "ascent", (0, 4), [(0.9, 0.8), (0.7, 0.1)], reference="benign")
    must_fit_schema(rows, tmp_path)
    assert set(rows.kind) == {"path"}
    assert rows[["measure", "subset", "x", "value"]].values.tolist() == [
        *(["acc", "clean", 0.0, 0.9], ["asr", "triggered", 0.0, 0.8]),
        *(["acc", "clean", 4.0, 0.7], ["asr", "triggered", 4.0, 0.1]),
    ]
