"""A run that was killed at any moment ends with the bits of one that was not."""

import json
import os
import random
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from tests.training.resumed import RUNS, clean_encoder, content, fit, recipe

pytestmark = pytest.mark.usefixtures("one_thread")

# --- killed


KILLER = r"""
import json, os, signal, sys, tempfile, time
import torch
torch.set_num_threads(1)
from intertwine.training import Recipe, fit

def child(out, recipe, before, number):
    if number is not None:
        replace, left = os.replace, [number]
        def killing(*args, **options):
            if left[0] == 0 and before:
                os.kill(os.getpid(), signal.SIGKILL)
            replace(*args, **options)
            if left[0] == 0:
                os.kill(os.getpid(), signal.SIGKILL)
            left[0] -= 1
        os.replace = killing
    fit(Recipe.from_dict(recipe), out, start=start if recipe["arm"] == "badencoder" else None, device="cpu")

start = sys.argv[1]
warm = json.loads(sys.stdin.readline())
with tempfile.TemporaryDirectory() as folder:  # what is imported on first use is imported here, once
    fit(Recipe.from_dict(warm), folder, device="cpu")
for line in sys.stdin:
    job = json.loads(line)
    pid = os.fork()
    if not pid:
        code = 1
        try:
            child(job["out"], job["recipe"], job.get("before"), job.get("number"))
            code = 0
        finally:
            os._exit(code)
    if "delay" in job:
        time.sleep(job["delay"])
        os.kill(pid, signal.SIGKILL)
    status = os.waitpid(pid, 0)[1]
    print(-os.WTERMSIG(status) if os.WIFSIGNALED(status) else os.WEXITSTATUS(status), flush=True)
"""


@pytest.fixture(scope="module")
def killer():
    """Runs a job in a process of its own and tells how it ended: −9 for killed, 0 for finished."""
    environment = os.environ | {"OMP_NUM_THREADS": "1", "CUDA_VISIBLE_DEVICES": ""}
    process = subprocess.Popen(
        [sys.executable, "-c", KILLER, str(clean_encoder())],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
        env=environment,
    )
    process.stdin.write(json.dumps(recipe(epochs=1).to_dict()) + "\n")

    def run(out: Path, changes: dict, **job) -> int:
        process.stdin.write(json.dumps({"out": str(out), "recipe": recipe(**changes).to_dict()} | job) + "\n")
        process.stdin.flush()
        return int(process.stdout.readline())

    yield run
    process.stdin.close()
    process.wait(30)


def lasting(folder: Path) -> dict[str, str]:
    """The content but for temporary files, whose names begin with a dot."""
    return {name: digest for name, digest in content(folder).items() if not Path(name).name.startswith(".")}


@pytest.mark.parametrize("name", ["moco-clean", "badencoder"])
def test_a_run_killed_at_random_moments_ends_with_the_same_bits(tmp_path, killer, whole, name):
    moments = random.Random(name)
    ends = []
    # From the first milliseconds on, then wherever it happens to be. Each goes on from where the last one died.
    for delay in [0.0, 0.005, 0.02, *(moments.uniform(0.02, 0.3) for _ in range(4))]:
        ends.append(killer(tmp_path, RUNS[name], delay=delay))
        assert ends[-1] in (0, -signal.SIGKILL)
    assert ends.count(-signal.SIGKILL) >= 3
    assert killer(tmp_path, RUNS[name]) == 0
    assert lasting(tmp_path) == whole(name)


@pytest.mark.parametrize(("number", "before"), [*((n, True) for n in range(9)), (8, False)])
def test_a_run_killed_at_any_rename_ends_with_the_same_bits(tmp_path, killer, whole, number, before):
    """Renames: initial snapshot, (snapshot, state) an epoch, encoder, head, history, manifest; and after the last."""
    name = "supervised-dirty, sgd"
    assert killer(tmp_path, RUNS[name], number=number, before=before) == -signal.SIGKILL
    assert (tmp_path / "manifest.json").exists() == (number == 8 and not before)
    fit(recipe(**RUNS[name]), tmp_path)
    assert lasting(tmp_path) == whole(name)


def test_what_a_kill_left_half_written_is_cleared_away(tmp_path, killer):
    name = "supervised-dirty, sgd"
    assert killer(tmp_path, RUNS[name], number=2, before=True) == -signal.SIGKILL
    assert list(tmp_path.rglob(".*")), "this test needs a temporary file to be there"
    fit(recipe(**RUNS[name]), tmp_path)
    assert not [p.name for p in tmp_path.rglob(".*")]
