"""Commands in this process, and small runs for them to work on."""

import sys

import pytest
from intertwine.analysis.cli.app import main


@pytest.fixture
def run(monkeypatch, capsys):
    """Run a command in this process: exit code, stdout, stderr."""

    def call(*words):
        monkeypatch.setattr(sys, "argv", ["intertwine", *map(str, words)])
        with pytest.raises(SystemExit) as stop:
            main()
        captured = capsys.readouterr()
        return stop.value.code or 0, captured.out, captured.err

    return call


@pytest.fixture
def refused():
    """Exit code 2 and one line on stderr that holds the words."""

    def check(result, *words):
        code, out, err = result
        lines = [line for line in err.splitlines() if line.startswith("intertwine: ")]
        assert code == 2
        assert "Traceback" not in err + out
        assert len(lines) == 1
        for word in words:
            assert word in lines[0]

    return check


@pytest.fixture
def small():
    """Options of a training that takes a second."""
    return ["--n-train", "300", "--n-test", "150", "--width", "4", "--epochs", "2", "--batch", "64"]


@pytest.fixture(scope="session")
def compared(small_runs, tmp_path_factory):
    """The small runs, the folder they were compared into, and what came of it."""
    from intertwine.analysis.studies.comparison import compare

    out = tmp_path_factory.mktemp("compared")
    return small_runs, out, *compare([small_runs], out)


@pytest.fixture
def trained():
    from intertwine.training import fit, read_recipe

    def train(folder, **changes):
        fields = {"n_train": 300, "n_test": 150, "width": 4, "epochs": 1, "batch": 64} | changes
        return fit(read_recipe("digits-demo", **fields), folder)

    return train
