"""What several machines have done of one study is that study."""

import gzip
import shutil

import pandas as pd
import pytest
from intertwine.analysis.results.table import read_rows, write_rows
from intertwine.analysis.studies.join import join_studies
from intertwine.analysis.studies.study import conclude, study
from intertwine.representations.errors import InputError

from tests.analysis.studies.conftest import FEW, RECIPE, reads_little, same_tables


@pytest.fixture(scope="module")
def parts(small_study, tmp_path_factory):
    """Studies of seed 0 and of seed 1, in ``part0`` and ``part1``: each begun where its runs are done."""
    out = tmp_path_factory.mktemp("parts")
    with pytest.MonkeyPatch.context() as patch:
        reads_little(patch)
        for seed in (0, 1):
            for run in (small_study[0] / "runs").glob(f"*/seed{seed}"):
                shutil.copytree(run, out / f"part{seed}" / "runs" / run.parent.name / run.name)
            study(RECIPE, out / f"part{seed}", **FEW | {"seeds": 1, "first_seed": seed})
    return out


@pytest.fixture
def copied(parts, tmp_path):
    """Function → both parts, copied, without their runs."""

    def copy(name):
        for part in ("part0", "part1"):
            shutil.copytree(parts / part, tmp_path / name / part, ignore=shutil.ignore_patterns("runs"))
        return [tmp_path / name / part for part in ("part0", "part1")]

    return copy


def test_seeds_done_apart_and_joined_are_the_study(parts, small_study, tmp_path, undrawn):
    _, rows, claims, _ = small_study
    shutil.copytree(parts / "part1", tmp_path / "packed")
    text = (tmp_path / "packed/rows.csv").read_bytes()
    (tmp_path / "packed/rows.csv.gz").write_bytes(gzip.compress(text))
    (tmp_path / "packed/rows.csv").unlink()
    written = join_studies([parts / "part0", tmp_path / "packed"], tmp_path / "joined")
    assert all(path.is_file() for path in written)
    assert (tmp_path / "joined/triggers.npz").read_bytes() == (parts / "part0/triggers.npz").read_bytes()
    again, verdicts, _ = conclude(tmp_path / "joined")
    same_tables(again, rows)
    pd.testing.assert_frame_equal(verdicts, claims)
    with pytest.raises(InputError, match="out: expected a folder without a study"):
        join_studies([parts / "part0", parts / "part1"], tmp_path / "joined")


def test_failures_are_not_lost(copied, tmp_path):
    parts = copied("failed")
    pd.DataFrame([{"task": "train x", "folder": "y", "error": "z"}]).to_csv(parts[1] / "failures.csv")
    join_studies(parts, tmp_path / "out")
    assert pd.read_csv(tmp_path / "out/failures.csv").task.tolist() == ["train x"]


def test_what_is_no_study_of_one_recipe_is_refused(copied, tmp_path, parts):
    def without_seed(folder):
        pd.read_csv(folder / "runs.csv").drop(columns="seed").to_csv(folder / "runs.csv", index=False)

    def without_a_run(folder):
        pd.read_csv(folder / "runs.csv").iloc[:1].to_csv(folder / "runs.csv", index=False)

    def of_fewer_images(folder):
        rows = read_rows(folder / "rows.csv")
        write_rows(rows.assign(n=rows["n"] - 1), folder / "rows.csv")

    def of_another_recipe(folder):
        path = folder / "recipe.json"
        path.write_text(path.read_text().replace(f'"epochs": {RECIPE.epochs}', '"epochs": 9'))

    def without_json(folder):
        (folder / "recipe.json").write_text("{")

    def gone(folder):
        shutil.rmtree(folder)

    def another_evaluator(folder):
        (folder / "predicates.json").write_text('{"evaluator": "ridge"}')

    for i, (change, message) in enumerate(
        (
            (without_seed, "expected the columns seed"),
            (without_a_run, r"runs.csv and .* do not hold the same runs: supervised-dirty/seed1"),
            (of_fewer_images, "expected readings of as many images in all studies"),
            (of_another_recipe, r"recipe.json is not that of .*part0"),
            (another_evaluator, r"predicates.json is not that of .*part0"),
            (without_json, "recipe.json is no JSON"),
            (gone, "part1 is not the folder of a study"),
        )
    ):
        both = copied(str(i))
        change(both[1])
        with pytest.raises(InputError, match=message):
            join_studies(both, tmp_path / "out")
    with pytest.raises(InputError, match="each arm and seed once, received supervised-benign/seed0"):
        join_studies([parts / "part0", parts / "part0"], tmp_path / "out")
    with pytest.raises(InputError, match="at least two studies, received 1"):
        join_studies([parts / "part0"], tmp_path / "out")
    assert not (tmp_path / "out").exists()
