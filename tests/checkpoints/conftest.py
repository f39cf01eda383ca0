"""A saved run, made once, and a copy of it that a test may damage."""

import shutil
from pathlib import Path

import pytest

from tests.checkpoints.saved import save


@pytest.fixture(scope="session")
def original(tmp_path_factory):
    return save(tmp_path_factory.mktemp("original"), arm="simclr-clean", final={"acc": 0.5})


@pytest.fixture
def folder(tmp_path, original):
    return Path(shutil.copytree(original, tmp_path / "run"))
