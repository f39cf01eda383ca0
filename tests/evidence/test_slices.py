"""The full part in slices: stopped in time, nothing lost, packed into pieces that make runs again."""

import json
import signal
import subprocess
import sys
import time
from pathlib import Path

import pandas as pd
import pytest
import torch
from intertwine.checkpoints import load_checkpoint, save_checkpoint, save_snapshot, snapshot_epochs
from intertwine.representations import EncoderSpec, build_encoder
from intertwine.training.resume import write_state

from evidence.scripts import slices

ROOT = Path(__file__).parents[2]
SLEEP = [sys.executable, "-c", "import time; time.sleep(60)"]
FAIL = [sys.executable, "-c", "raise SystemExit(3)"]
ABOUT = {"identity": {}, "seconds": {"wall": 4.0, "cpu": 4.0}, "final": {"acc": 0.5}}


def finished(folder, *, seed=0, large=0.0):
    encoder = build_encoder(EncoderSpec("resnet8", 4, 16), seed=seed)
    encoder.backbone.conv1.weight.data[0, 0, 0, 0] += large
    for epoch in (1, 2):
        save_snapshot(folder, encoder, epoch)
    save_checkpoint(folder, encoder, {"weight": torch.ones(1)}, ABOUT, "epoch,acc\n1,0.4\n2,0.5\n")


def unfinished(folder):
    state = {name: {} for name in ("identity", "encoder", "objective", "optimiser", "scaler")}
    folder.mkdir(parents=True)
    history = [{"epoch": 1, "acc": 0.4}]
    write_state(folder / "resume.pt", state | {"epoch": 1, "history": history, "spent": {"wall": 3.0, "cpu": 3.0}})


def unpacked(folder, to):
    whole = to / "runs.tar"
    whole.write_bytes(b"".join(piece.read_bytes() for piece in sorted(folder.glob("runs-1.tar.*"))))
    subprocess.run(["tar", "-xf", whole, "-C", to], check=True)


def test_time_ends_what_runs_and_what_fails_is_counted(capfd):
    begun = time.monotonic()
    assert slices.run_until(begun + 2, [FAIL, [], SLEEP, SLEEP, SLEEP], 2) == 1
    assert time.monotonic() - begun < 30
    assert "time is up with 3 commands unfinished" in capfd.readouterr().out
    assert slices.run_until(time.monotonic() + 60, [[], FAIL], 2) == 1


def test_terminated_it_ends_what_it_has_started(tmp_path):
    child = tmp_path / "child.py"
    child.write_text(
        "import os, pathlib, sys, time\npathlib.Path(sys.argv[1]).write_text(str(os.getpid()))\ntime.sleep(60)\n"
    )
    code = (
        "import sys\n"
        "from evidence.scripts import slices\n"
        f"slices.training = lambda *_: [sys.executable, {str(child)!r}, {str(tmp_path / 'pid')!r}]\n"
        "slices.main()\n"
    )
    words = [tmp_path / "out", "--data", "digits", "--parts", "standard", "--pack", tmp_path / "pack"]
    process = subprocess.Popen([sys.executable, "-c", code, *map(str, words)], cwd=ROOT)
    while not (tmp_path / "pid").is_file() or not (tmp_path / "pid").read_text():
        assert process.poll() is None
        time.sleep(0.05)
    process.send_signal(signal.SIGTERM)
    assert process.wait(30) == 143
    state = Path("/proc", (tmp_path / "pid").read_text(), "stat")
    assert not state.exists() or state.read_text().rpartition(")")[2].split()[0] == "Z"


def test_finished_runs_come_home_once_and_of_the_others_how_far_they_are(tmp_path, monkeypatch, capsys):
    out, to = tmp_path / "out", tmp_path / "to"
    monkeypatch.setattr(slices, "PIECE", 100_000)
    ctrl = out / "ctrl"
    finished(ctrl / "simclr-clean" / "seed0")
    finished(ctrl / "supervised-benign" / "seed0", large=1e6)  # which float16 cannot hold
    finished(ctrl / "supervised-dirty" / "seed0", seed=1)
    unfinished(ctrl / "simclr-benign" / "seed0")
    runs = sorted(ctrl.glob("*/seed*"))
    slices.pack(runs, out, to, 4, {2})
    said = capsys.readouterr().out
    assert "not packed: ctrl/supervised-benign/seed0: half: expected weights that float16 can hold" in said
    assert "packed now: ctrl/simclr-clean/seed0, ctrl/supervised-dirty/seed0" in said
    pieces = sorted(to.glob("runs-1.tar.*"))
    assert len(pieces) > 1
    assert max(piece.stat().st_size for piece in pieces) <= 100_000
    home = tmp_path / "home"
    home.mkdir()
    unpacked(to, home)
    there = load_checkpoint(home / "ctrl" / "simclr-clean" / "seed0")
    assert there.manifest["stored"] == "float16"
    assert snapshot_epochs(there.path) == [2]
    assert snapshot_epochs(home / "ctrl" / "supervised-dirty" / "seed0") == [], "of the contrastive pair alone"
    told = json.loads((to / "manifests.json").read_text())
    assert {name: (m["finished"], m["epochs done"], m["seconds an epoch"]) for name, m in told.items()} == {
        "ctrl/simclr-benign/seed0": (False, 1, 3.0),
        "ctrl/supervised-benign/seed0": (True, 2, 2.0),
        "ctrl/simclr-clean/seed0": (True, 2, 2.0),
        "ctrl/supervised-dirty/seed0": (True, 2, 2.0),
    }
    assert pd.read_csv(to / "histories.csv").groupby("run").size().to_dict()["ctrl/simclr-benign/seed0"] == 1
    slices.pack(runs, out, to, 4, set())
    assert "packed now: nothing" in capsys.readouterr().out
    finished(ctrl / "supervised-clean" / "seed0", seed=2)
    first = {piece.name: piece.read_bytes() for piece in pieces}
    slices.pack([*runs, ctrl / "supervised-clean" / "seed0"], out, to, 4, set())
    said = capsys.readouterr().out
    assert "packed now: ctrl/supervised-clean/seed0" in said, "into an archive of its own"
    assert {name: (to / name).read_bytes() for name in first} == first
    assert list(to.glob("runs-2.tar.*"))
    (out / "packed.json").unlink()
    slices.pack(runs, out, tmp_path / "narrow", 1, set())
    assert "no room for ctrl/simclr-clean/seed0: the same command packs it next time" in capsys.readouterr().out


def test_an_unknown_part_is_refused(tmp_path, monkeypatch, capsys):
    words = [
        "slices.py",
        str(tmp_path),
        "--data",
        "digits",
        "--pack",
        str(tmp_path),
        "--parts",
        "ctrl,other:simclr-clean",
    ]
    monkeypatch.setattr("sys.argv", words)
    with pytest.raises(SystemExit, match="2"):
        slices.main()
    assert "--parts: expected some of sig, ctrl" in capsys.readouterr().err


@pytest.mark.slow
def test_the_parts_train_and_what_they_give_is_packed(tmp_path):
    out, packed = tmp_path / "runs", tmp_path / "packed"
    fixed = [sys.executable, "-m", "evidence.scripts.slices", out, "--data", "digits", "--jobs", "2", "--pack", packed]
    less = "--n-train 400 --n-test 100 --width 4 --hidden 16 --projection 16 --batch 100 --precision float32"
    less += " --poison-fraction .5 --poison-base target_class --device cpu --eval-every 1 --epochs 2"

    def ran(*options):
        done = subprocess.run([*fixed, *options, *less.split()], capture_output=True, text=True, cwd=ROOT)
        assert done.returncode == 0, done.stdout[-2000:] + done.stderr[-2000:]
        return done.stdout

    assert "time is up with 6 commands unfinished" in ran("--parts", "official-half,standard", "--minutes", "0")
    parts = "official-half,standard,sig:simclr-clean"
    assert "official-half/simclr-clean/seed0" in ran("--parts", parts, "--minutes", "30").splitlines()[-1]
    assert len(json.loads((packed / "manifests.json").read_text())) == 7
    unpacked(packed, tmp_path)
    about = load_checkpoint(tmp_path / "sig" / "simclr-clean" / "seed0").manifest
    assert (about["stored"], about["recipe"]["trigger"], about["recipe"]["test_strength"]) == (
        "float16",
        "sinusoid",
        40,
    )
