"""Tables of what was tried on runs, from their cells."""

from intertwine.analysis.reports.defence_report import defence_tables
from intertwine.analysis.results.table import write_rows

from tests.analysis.defence_rows import detected
from tests.factories import table


def test_tables_of_runs_are_those_of_their_cells(tmp_path):
    assert defence_tables([tmp_path]) == []
    (tmp_path / "defences").mkdir()
    write_rows(table(*detected("simclr-clean", 0, "scan", 0.9)), tmp_path / "defences" / "scan.csv")
    [(title, lines)] = defence_tables([tmp_path])
    assert title == "Detection"
    assert lines["AUROC"].tolist() == ["0.900"]
