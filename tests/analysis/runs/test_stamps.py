"""A stamp stands as long as runs, tables and settings are what they were."""

import json

from intertwine.analysis.runs.run import about_run
from intertwine.analysis.runs.stamps import stamp_of, stands


def test_it_stands_until_anything_it_holds_is_another(small_runs, tmp_path):
    run, table, path = small_runs / "supervised-dirty/seed0", tmp_path / "rows.csv", tmp_path / "measured.json"

    def stamp(**settings):
        return stamp_of([run], [table], images=100, **settings)

    assert not stands(path, stamp), "there is none"
    table.write_text("a\n")
    path.write_text(json.dumps(stamp()))
    assert json.loads(path.read_text())["runs"] == [about_run(run)["run_hash"]]
    assert stands(path, stamp)
    assert not stands(path, lambda: stamp(bank=5))
    table.write_text("b\n")
    assert not stands(path, stamp), "its table was touched"
    table.unlink()
    assert not stands(path, stamp), "its table is gone"
    path.write_text("{")
    assert not stands(path, stamp), "it cannot be read"
