"""The committed studies: their tables follow the schema, and what is drawn follows from them by today's code."""

from pathlib import Path

import pandas as pd
import pytest
from intertwine.analysis.defences.outcomes import detections, mitigations
from intertwine.analysis.reports.defence_drawing import _drawings
from intertwine.analysis.results.schema import REFERENCES, SUBSETS
from intertwine.analysis.results.table import find_table, read_rows
from intertwine.training.arms import ARMS

from evidence import STUDIES, TABLES
from evidence.collect.crossed import CROSSED
from evidence.collect.studies import DATA, DEFENDED
from evidence.figures import conclude_study

ROWS = {
    **{study: find_table(STUDIES / study, "rows.csv") for study in (*CROSSED, *DATA)},
    **{study: find_table(STUDIES / study, "defences.csv") for study in DEFENDED},
    **{name: TABLES / f"{name}.csv" for name in ("objectives", "attacks", "gpu_rows")},
}


@pytest.mark.parametrize("name", ROWS)
def test_rows_use_the_words_of_the_schema(name):
    rows = read_rows(ROWS[name])
    assert set(rows["arm"]) <= set(ARMS)
    assert set(rows["reference"]) <= {"", *REFERENCES}
    assert set(rows["subset"]) <= {"", *SUBSETS}
    runs = pd.concat([rows["run"], rows.loc[rows["other_run"] != "", "other_run"]])
    assert set(runs.str.split("/").str[-2]) <= set(ARMS)
    numbers = {"value", "ci_low", "ci_high", "n", "d", "status", "note"}
    assert not rows.duplicated([column for column in rows if column not in numbers]).any()


@pytest.mark.parametrize("study", [*CROSSED, *DATA])
def test_a_study_is_committed_with_pictures_of_one_width(study):
    files = [path.name for path in (STUDIES / study).rglob("*") if path.is_file()]
    assert not [name for name in files if name.endswith(("-1col.png", ".pdf"))]
    assert {"claims.csv", "predicates.json", "recipe.json", "report.md", "runs.csv"} <= set(files)


@pytest.mark.parametrize(("defences", "drawn"), [(["none", "clp"], {"map"}), (None, {"map", "pareto"})])
def test_one_mitigation_has_no_front(defences, drawn):
    rows = read_rows(ROWS["defences-digits-sig"])
    treated = mitigations(rows)
    if defences:
        treated = treated[treated["defence"].isin(defences)]
    assert set(_drawings(detections(rows), treated, pd.DataFrame())) == drawn


@pytest.mark.slow
@pytest.mark.parametrize("study", [*CROSSED, *DATA, *DEFENDED])
def test_verdicts_and_figures_follow_from_the_tables(tmp_path, study):
    """Not the pictures' bytes, which depend on the version of matplotlib, nor the report's words. Verdicts
    of the first studies stay as they were committed."""
    written = conclude_study(study, tmp_path)
    frozen = {Path("figures/forest.png")} if study in DATA else set()
    if study in DEFENDED:
        again, committed = (pd.read_csv(folder / "claims_c5.csv") for folder in (tmp_path, STUDIES / study))
        pd.testing.assert_frame_equal(again, committed, check_exact=False, rtol=1e-9)
    drawn = {path.relative_to(tmp_path) for path in written if path.suffix == ".png" and "-1col" not in path.name}
    assert drawn | frozen == {path.relative_to(STUDIES / study) for path in (STUDIES / study).rglob("*.png")}
