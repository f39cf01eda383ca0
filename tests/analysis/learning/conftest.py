"""Small trained runs: learning curves of several arms, and a pair whose backdoor works."""

import pytest
from intertwine.analysis.learning.paths import Rates
from intertwine.analysis.runs.run import load_run

from tests.factories import TINY, trained

# Little augmentation and every image of a class poisoned: the backdoor is learned in two seconds.
QUICK = {
    **{"n_train": 400, "n_test": 200, "width": 6, "epochs": 8, "batch": 50, "name": "quick", "poison_fraction": 1.0},
    **{"crop": 0.5, "jitter_p": 0.0, "grayscale": 0.0, "strength": 0.5},
}


@pytest.fixture(scope="session")
def learned(tmp_path_factory):
    """Function arm → its run of three epochs, trained once."""
    folder, made = tmp_path_factory.mktemp("learned"), {}

    def run(arm):
        if arm not in made:
            made[arm] = load_run(trained(folder / arm, arm, **TINY | {"n_train": 400, "epochs": 3}), device="cpu")
        return made[arm]

    return run


@pytest.fixture(scope="session")
def pair(tmp_path_factory):
    """A run whose backdoor works, its clean twin, and its rates."""
    folder = tmp_path_factory.mktemp("quick")
    run, benign = (
        load_run(trained(folder / arm, arm, **QUICK), device="cpu") for arm in ("supervised-dirty", "supervised-benign")
    )
    rates = Rates.of(run)
    assert rates(run.encoder)[1] > 0.8
    assert rates(benign.encoder)[1] < 0.3
    return run, benign, rates


@pytest.fixture(scope="session")
def failed(small_pair):
    """The same of a run whose backdoor does not."""
    return *small_pair, Rates.of(small_pair[0])
