"""The studies under docs/ say what their tables say, by the code as it is now."""

from pathlib import Path

import pandas as pd
import pytest
from intertwine.analysis.reports.defence_report import conclude_defences
from intertwine.analysis.studies.grid import conclude_grid
from intertwine.analysis.studies.study import conclude

DOCS = Path(__file__).parents[2] / "docs" / "studies"

pytestmark = pytest.mark.slow


@pytest.mark.parametrize("name", ["defences", "defences-cifar10", "defences-digits-sig", "defences-fashion"])
def test_defences_regenerate_from_their_rows(tmp_path, name):
    source = DOCS / name
    for file in ("defences.csv.gz", "predicates_c5.json"):  # the latter says who decides
        (tmp_path / file).write_bytes((source / file).read_bytes())
    written = conclude_defences(tmp_path)
    for name in ("defences.md", "predicates_c5.json"):
        assert (tmp_path / name).read_text() == (source / name).read_text(), name
    claims = (pd.read_csv(folder / "claims_c5.csv") for folder in (tmp_path, source))
    pd.testing.assert_frame_equal(*claims)
    assert all((source / path.relative_to(tmp_path)).is_file() for path in written if path.suffix == ".pdf")


@pytest.mark.parametrize(
    ("name", "again", "claims"),
    [
        *((name, conclude, "claims") for name in ("digits", "digits-sig", "fashion", "fashion-blend")),
        *((name, conclude, "claims") for name in ("cifar10", "cifar10-ridge", "cifar10-sig", "cifar10-sig-b")),
        ("fractions", conclude_grid, "grid_claims"),
    ],
)
def test_verdicts_and_report_regenerate_from_the_tables(tmp_path, name, again, claims):
    """Not the pictures' bytes: those hang on the version of matplotlib."""
    for path in (DOCS / name).glob("*.csv.gz"):
        (tmp_path / path.name).write_bytes(path.read_bytes())
    for file in ("history.csv", "runs.csv", "recipe.json"):
        if (DOCS / name / file).is_file():
            (tmp_path / file).write_bytes((DOCS / name / file).read_bytes())
    *_, written = again(tmp_path)
    pd.testing.assert_frame_equal(pd.read_csv(tmp_path / f"{claims}.csv"), pd.read_csv(DOCS / name / f"{claims}.csv"))
    assert (tmp_path / "report.md").read_text() == (DOCS / name / "report.md").read_text()
    drawn = {path.relative_to(tmp_path) for path in written if path.suffix == ".pdf"}
    assert drawn
    assert all((DOCS / name / path).is_file() for path in drawn)
