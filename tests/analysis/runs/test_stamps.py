"""A stamp is valid as long as runs, tables and settings are what they were."""

import json

from intertwine.analysis.runs.run import about_run
from intertwine.analysis.runs.stamps import is_valid, stamp_of


def test_it_is_valid_until_anything_it_holds_is_another(small_runs, tmp_path):
    run, table, path = small_runs / "supervised-dirty/seed0", tmp_path / "rows.csv", tmp_path / "measured.json"

    def stamp(**settings):
        return stamp_of([run], [table], images=100, **settings)

    assert not is_valid(path, stamp), "there is none"
    table.write_text("a\n")
    path.write_text(json.dumps(stamp()))
    assert json.loads(path.read_text())["runs"] == [about_run(run)["run_hash"]]
    assert is_valid(path, stamp)
    assert not is_valid(path, lambda: stamp(bank=5))
    table.write_text("b\n")
    assert not is_valid(path, stamp), "its table was touched"
    table.unlink()
    assert not is_valid(path, stamp), "its table is gone"
    path.write_text("{")
    assert not is_valid(path, stamp), "it cannot be read"
