"""Ctrl-C: one line says how to go on, the exit code is 130, and nothing goes on in the background."""

import os
import signal
import subprocess
import sys
import time

import pytest

# A background job of a shell ignores SIGINT, and so would its children.
MAIN = "import signal; signal.signal(signal.SIGINT, signal.default_int_handler)\n"
MAIN += "from intertwine.analysis.cli.app import main; main()"


def is_there(group):
    try:
        os.killpg(group, 0)
    except ProcessLookupError:
        return False
    return True


def interrupted(words, ready, *, within=60):
    """Exit code and stderr of a command that gets SIGINT, as do its children, once ``ready()`` holds."""
    process = subprocess.Popen(
        [sys.executable, "-c", MAIN, *map(str, words)],
        stdout=subprocess.DEVNULL,
        stderr=subprocess.PIPE,
        text=True,
        start_new_session=True,
    )
    try:
        start = time.monotonic()
        while not ready():
            assert process.poll() is None, process.stderr.read()
            assert time.monotonic() < start + within
            time.sleep(0.02)
        os.killpg(process.pid, signal.SIGINT)
        _, err = process.communicate(timeout=within)
        while is_there(process.pid):  # the last of its processes are about to end
            assert time.monotonic() < start + 2 * within, "something goes on in the background"
            time.sleep(0.1)
        return process.returncode, err
    finally:
        if process.poll() is None:
            os.killpg(process.pid, signal.SIGKILL)


@pytest.mark.parametrize("command", ["train", "study"])
def test_an_interrupted_command_says_that_it_continues(command, tmp_path, small):
    words = [command, "digits-demo", *small, "--epochs", "500", "--out", tmp_path / "out"]
    words += ["--arms", "supervised-dirty", "--seeds", "1"] if command == "study" else []
    code, err = interrupted(words, lambda: any(tmp_path.rglob("resume.pt")))
    assert code == 130
    assert "Traceback" not in err
    [line] = [line for line in err.splitlines() if line.startswith("intertwine: ")]
    assert "interrupted; the same command continues" in line


def test_every_command_that_takes_long_has_a_way_to_go_on(monkeypatch, capsys):
    from intertwine.analysis.cli import app

    def stop(*args, **options):
        return 130  # typer's answer to Ctrl-C

    monkeypatch.setattr(app, "app", stop)
    for command in ("train", "study", "measure", "demo", "defend", "calibrate"):
        monkeypatch.setattr(sys, "argv", ["intertwine", command, "x"])
        with pytest.raises(SystemExit) as ended:
            app.main()
        assert ended.value.code == 130
        [line] = capsys.readouterr().err.splitlines()
        assert "same command" in line or command == "calibrate"
