"""One thread, and whole runs to compare with those that were cut short."""

import pytest
import torch

from tests.training.resumed import RUNS, content, fit, recipe


@pytest.fixture(scope="module")
def one_thread():
    """Bits are promised per thread count; killed runs are forks, which are safe with one only."""
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(threads)


@pytest.fixture(scope="session")
def whole(tmp_path_factory):
    """The content of uninterrupted runs by name, trained once."""
    made: dict[str, dict[str, str]] = {}

    def get(name: str) -> dict[str, str]:
        if name not in made:
            folder = tmp_path_factory.mktemp("whole")
            fit(recipe(**RUNS[name]), folder)
            made[name] = content(folder)
        return made[name]

    return get
