"""The benign twin of a run: the same recipe and plan, another arm."""

from pathlib import Path

import pytest
from intertwine.analysis.runs.run import about_run, load_run
from intertwine.analysis.runs.twins import benign_twin_of, differing, must_be_benign_twin
from intertwine.representations.errors import InputError

from tests.factories import trained


def test_it_is_found_by_recipe_and_plan(small_runs):
    dirty, benign = (small_runs / arm / "seed0" for arm in ("supervised-dirty", "supervised-benign"))
    about = {folder: about_run(folder) for folder in (dirty, benign)}
    assert benign_twin_of(dirty, about) == benign
    assert benign_twin_of(benign, about) is None
    assert benign_twin_of(dirty, {dirty: about[dirty]}) is None
    other = about[benign] | {"recipe": about[benign]["recipe"] | {"crop": 0.5}}
    assert benign_twin_of(dirty, about | {benign: other}) is None
    assert benign_twin_of(dirty, about | {benign: about[benign] | {"plan": {"hash": "another"}}}) is None
    assert benign_twin_of(dirty, {Path("x"): other, **about}) == benign


def test_fields_that_differ_are_told_with_both_values():
    mine, other = ({"recipe": {"arm": arm, "name": arm, "lr": lr}} for arm, lr in (("a", 1.0), ("b", 0.1)))
    assert differing(mine, other) == ["lr 0.1 for 1.0"]
    assert differing(mine, other, ignore=("lr", "name")) == ["arm 'b' for 'a'"]


def test_another_run_is_refused(small_pair, tmp_path):
    run, benign = small_pair
    must_be_benign_twin(run, benign)
    with pytest.raises(InputError, match="expected a run of supervised-benign for supervised-dirty, received one of"):
        must_be_benign_twin(run, run)
    other = load_run(trained(tmp_path / "other", "supervised-benign", epochs=1), device="cpu")
    with pytest.raises(InputError, match="the recipe of supervised-dirty/seed0 except for the arm, received epo"):
        must_be_benign_twin(run, other)
