"""A write that is cut short leaves what was there, or nothing that looks finished."""

import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
import torch
import torchvision
from intertwine.checkpoints import (
    atomic_write,
    is_finished,
    load_encoder,
    save_checkpoint,
)

from tests.checkpoints.saved import HISTORY, refused, trained

# --- writing


@pytest.mark.parametrize("name", ["replace", "fsync", "chmod"])
@pytest.mark.parametrize("error", [OSError(28, "No space left on device"), KeyboardInterrupt()], ids=["full", "ctrl-c"])
def test_a_write_that_fails_keeps_the_old_file_and_leaves_no_other(tmp_path, monkeypatch, name, error):
    path = tmp_path / "file.bin"
    atomic_write(path, b"old")

    def failing(*args, **options):
        raise error

    monkeypatch.setattr(os, name, failing)
    with pytest.raises(type(error)):
        atomic_write(path, b"new and longer")
    monkeypatch.undo()
    assert path.read_bytes() == b"old"
    assert [p.name for p in tmp_path.iterdir()] == ["file.bin"]
    with pytest.raises(TypeError):
        atomic_write(path, "text")
    assert [p.name for p in tmp_path.iterdir()] == ["file.bin"]


def test_atomic_write_writes_all_makes_folders_and_is_readable_by_others(tmp_path):
    path, data = tmp_path / "a" / "b" / "file.bin", os.urandom(300_000)
    atomic_write(path, data)
    assert path.read_bytes() == data
    assert path.stat().st_mode & 0o777 == 0o644
    atomic_write(path, b"")
    assert path.read_bytes() == b""
    assert [p.name for p in path.parent.iterdir()] == ["file.bin"]


def test_the_file_is_whole_before_it_gets_its_name(tmp_path, monkeypatch):
    """Bytes are on disk before the rename, and the temporary file is beside its target: the same file system."""
    calls = []
    fsync, replace = os.fsync, os.replace
    monkeypatch.setattr(os, "fsync", lambda fd: calls.append(("fsync", os.fstat(fd).st_size)) or fsync(fd))

    def watched(source, target):
        calls.append(("replace", Path(source).read_bytes(), Path(source).parent == Path(target).parent))
        replace(source, target)

    monkeypatch.setattr(os, "replace", watched)
    atomic_write(tmp_path / "x", b"12345")
    assert calls[:2] == [("fsync", 5), ("replace", b"12345", True)]


@pytest.mark.parametrize("call", range(4))
def test_a_checkpoint_cut_short_at_any_file_is_not_finished(tmp_path, monkeypatch, call):
    left, replace = [call], os.replace

    def failing(source, target):
        if not left[0]:
            raise OSError(28, "No space left on device")
        left[0] -= 1
        replace(source, target)

    monkeypatch.setattr(os, "replace", failing)
    with pytest.raises(OSError, match="No space"):
        save_checkpoint(tmp_path, trained(), {}, {}, HISTORY)
    assert not is_finished(tmp_path)
    refused(tmp_path, "training has not finished")
    assert not list(tmp_path.glob(".*"))


@pytest.mark.parametrize("call", range(4))
def test_overwriting_a_checkpoint_leaves_the_old_the_new_or_an_unfinished_one(folder, monkeypatch, call):
    """The folder is written whole: a write cut short must not leave a manifest beside files that it does not fit."""
    left, replace = [call], os.replace

    def failing(source, target):
        if not left[0]:
            raise OSError(28, "No space left on device")
        left[0] -= 1
        replace(source, target)

    monkeypatch.setattr(os, "replace", failing)
    with pytest.raises(OSError, match="No space"):
        save_checkpoint(folder, trained(seed=1), {"other": torch.ones(1)}, {}, "other\n")
    monkeypatch.undo()
    if is_finished(folder):
        there = load_encoder(folder).backbone.conv1.weight
        assert any(torch.equal(there, trained(seed=seed).backbone.conv1.weight) for seed in (0, 1))


FULL_DISK = """
import sys, torch
from pathlib import Path
from intertwine.checkpoints import convert
from intertwine.checkpoints.store import load_checkpoint, save_checkpoint
from intertwine.representations import EncoderSpec, build_encoder

disk, foreign = map(Path, sys.argv[1:])
encoders = [build_encoder(EncoderSpec("resnet8", 12, 16), seed=s) for s in (0, 1)]
save_checkpoint(disk / "run", encoders[0], {}, {}, "old")
for written in (
    lambda: save_checkpoint(disk / "run", encoders[1], {}, {"padding": "x" * 900_000}, "new"),
    lambda: convert(foreign, disk / "converted"),
):
    try:
        written()
    except OSError as error:
        print(error.errno, sorted(p.name for p in disk.rglob("*") if p.is_file()))
there = load_checkpoint(disk / "run").encoder
print(torch.equal(there.backbone.conv1.weight, encoders[0].backbone.conv1.weight))
"""


def test_a_disk_that_is_full_leaves_the_old_checkpoint_as_it_was(tmp_path):
    """On a file system of 1 MiB, in a mount namespace of its own."""
    disk, foreign = tmp_path / "disk", tmp_path / "foreign.pth"
    disk.mkdir()
    torch.save(torchvision.models.resnet18(num_classes=2).state_dict(), foreign)
    mounted = f'mount -t tmpfs -o size=1m tmpfs {disk} && exec {sys.executable} -c "$0" {disk} {foreign}'
    command = ["unshare", "--user", "--map-root-user", "--mount", "sh", "-c", mounted, FULL_DISK]
    if shutil.which("unshare") is None or subprocess.run([*command[:4], "true"], capture_output=True).returncode:
        pytest.skip("this system does not allow a mount namespace")
    done = subprocess.run(command, capture_output=True, text=True, timeout=120)
    files = ["encoder.safetensors", "head.safetensors", "history.csv", "manifest.json"]
    assert done.stdout.splitlines() == [f"28 {files}", f"28 {files}", "True"], done.stderr
