"""``intertwine demo``."""

import pytest


@pytest.mark.slow
def test_two_demos_with_one_seed_give_identical_rows(run, tmp_path):
    for name in ("first", "second"):
        assert run("demo", "--quick", "--out", tmp_path / name)[0] == 0
    assert (tmp_path / "first/rows.csv").read_bytes() == (tmp_path / "second/rows.csv").read_bytes()
    assert (tmp_path / "first/claims.csv").read_bytes() == (tmp_path / "second/claims.csv").read_bytes()
