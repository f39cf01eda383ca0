"""The small runs as encoders of any origin."""

import pytest
from intertwine.analysis import load


@pytest.fixture(scope="session")
def small(small_runs):
    """A poisoned run with its benign twin."""
    return load(small_runs / "supervised-dirty/seed0", device="cpu")
