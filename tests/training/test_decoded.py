"""Data that does not fit in memory is decoded to disk once and is, for whoever uses it, like any other."""

import subprocess
import sys
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest
import torch
from intertwine.checkpoints import load_checkpoint
from intertwine.representations.errors import InputError
from intertwine.training import decoded, decoding, fit, load_images, loop
from intertwine.training.recipe import Recipe
from PIL import Image

TINY = {"image_size": 8, "width": 4, "hidden": 16, "projection": 8, "batch": 16, "epochs": 2, "trigger_cells": 2}


@pytest.fixture
def folder(tmp_path) -> Path:
    g = torch.Generator().manual_seed(0)
    for part, count in (("train", 40), ("test", 12)):
        for name in "ab":
            (tmp_path / "images" / part / name).mkdir(parents=True)
            for i in range(count):
                pixels = torch.randint(0, 256, (10, 12, 3), generator=g, dtype=torch.uint8).numpy()
                Image.fromarray(pixels).save(tmp_path / "images" / part / name / f"{i:03}.png")
    return tmp_path / "images"


@pytest.fixture
def no_room(monkeypatch):
    """As if memory were full."""
    monkeypatch.setattr(decoding, "fits_in_memory", lambda size: False)
    monkeypatch.setattr(loop, "LARGE", 0)


def load(folder: Path, **options):
    return load_images(f"imagefolder:{folder}", data_root=folder.parent / "cache", **options)


def test_the_bytes_are_the_same(folder, monkeypatch):
    expected = load(folder, image_size=8)
    assert not (folder.parent / "cache").exists()
    monkeypatch.setattr(decoding, "fits_in_memory", lambda size: False)
    found = load(folder, image_size=8)
    for mine, other in zip(found, expected, strict=True):
        assert torch.equal(mine.images, other.images)
        assert mine.fingerprint() == other.fingerprint()
    (file,) = (folder.parent / "cache" / "decoded").glob("*.u8")
    assert file.stat().st_size == 104 * 3 * 8 * 8
    assert file.stat().st_mode & 0o777 == 0o644


def test_a_run_of_them_is_the_same_run(folder, tmp_path, request):
    recipe = Recipe(data=f"imagefolder:{folder}", **TINY)
    expected = load_checkpoint(fit(recipe, tmp_path / "memory", device="cpu"))
    request.getfixturevalue("no_room")
    found = load_checkpoint(fit(recipe, tmp_path / "disk", device="cpu", data_root=tmp_path / "cache"))
    assert list((tmp_path / "cache" / "decoded").glob("*.u8"))
    assert found.manifest["run_hash"] == expected.manifest["run_hash"]
    for name, value in expected.encoder.state_dict().items():
        assert torch.equal(found.encoder.state_dict()[name], value)


def test_they_are_decoded_once_and_anew_when_a_file_changes(folder, no_room, monkeypatch):
    calls, decode = [], decoding._decode
    monkeypatch.setattr(decoding, "_decode", lambda path, size: calls.append(path) or decode(path, size))
    first = load(folder, image_size=8)[0].fingerprint()
    assert len(calls) == 104
    assert load(folder, image_size=8)[0].fingerprint() == first
    assert len(calls) == 104
    Image.new("RGB", (10, 12), (1, 2, 3)).save(folder / "train" / "a" / "000.png")
    assert load(folder, image_size=8)[0].fingerprint() != first
    assert len(calls) == 208
    load(folder, image_size=10)
    assert len(calls) == 312


def test_writing_into_them_does_not_reach_the_file(folder, no_room):
    train, _ = load(folder, image_size=8)
    before = train.fingerprint()
    train.images.zero_()
    assert load(folder, image_size=8)[0].fingerprint() == before


def test_unreadable_files_are_left_out_and_the_rest_stays_decoded(folder, no_room, monkeypatch):
    (folder / "train" / "b" / "003.png").write_bytes(b"no image")
    (folder / "train" / "b" / "004.png").unlink()
    (folder / "train" / "b" / "004.png").symlink_to(folder / "nowhere")
    calls, decode = [], decoding._decode
    monkeypatch.setattr(decoding, "_decode", lambda path, size: calls.append(path) or decode(path, size))
    for _ in range(2):
        lines: list[str] = []
        train, test = load(folder, image_size=8, skip_unreadable=True, log=lines.append)
        assert (len(train), len(test)) == (78, 24)
        assert any("skipped 2 of 104 unreadable" in line for line in lines)
        assert len(calls) == 104, "they are not decoded again"
    with pytest.raises(InputError, match="expected readable images, 2 of 104 unreadable"):
        load(folder, image_size=8)
    monkeypatch.setattr(decoding, "fits_in_memory", lambda size: True)
    assert load(folder, image_size=8, skip_unreadable=True)[0].fingerprint() == train.fingerprint()


def test_a_folder_without_any_readable_image_is_refused_as_ever(folder, no_room):
    for path in folder.rglob("*.png"):
        path.write_bytes(b"no image")
    with pytest.raises(InputError, match="expected"):
        load(folder, image_size=8, skip_unreadable=True)


def test_a_file_cut_short_is_decoded_anew(folder, no_room):
    expected = load(folder, image_size=8)[0].fingerprint()
    (file,) = (folder.parent / "cache" / "decoded").glob("*.u8")
    file.write_bytes(file.read_bytes()[:100])
    assert load(folder, image_size=8)[0].fingerprint() == expected


def test_what_a_killed_process_left_is_removed(folder, no_room):
    load(folder, image_size=8)
    (file,) = (folder.parent / "cache" / "decoded").glob("*.u8")
    leftover = file.with_name(f".{file.name}.abc")
    leftover.write_bytes(b"0" * 100)
    load(folder, image_size=8)
    assert not leftover.exists()


def test_of_several_that_ask_at_once_one_decodes(tmp_path):
    """Also when the first of them leaves nothing behind: the others wait for each other."""
    (tmp_path / "one").write_text("")
    inside, most, calls = [], [], []

    def fill(images):
        inside.append(1)
        most.append(len(inside))
        calls.append(1)
        time.sleep(0.05)
        inside.pop()
        if len(calls) == 1:
            raise InputError("the first one fails")
        images.fill_(7)
        return {}

    def ask(_):
        try:
            return int(
                decoded.on_disk(tmp_path / "cache", [str(tmp_path / "one")], 4, fill, lambda line: None)[0].sum()
            )
        except InputError:
            return None

    with ThreadPoolExecutor(4) as pool:
        results = list(pool.map(ask, range(4)))
    assert sorted(results, key=str) == [336, 336, 336, None]
    assert max(most) == 1
    assert len(calls) == 2


def test_a_file_larger_than_memory_can_be_mapped(tmp_path):
    """A sparse one of twice the memory and swap there is: nothing of it is claimed before it is read."""
    lines = Path("/proc/meminfo").read_text().splitlines()
    kilobytes = sum(int(line.split()[1]) for line in lines if line.startswith(("MemTotal:", "SwapTotal:")))
    with (tmp_path / "large").open("wb") as file:
        file.truncate(2 * 1024 * kilobytes)
    tensor = decoded.mapped(tmp_path / "large")
    assert len(tensor) == 2 * 1024 * kilobytes
    assert int(tensor[-1]) == 0
    tensor[5] = 1
    assert int(decoded.mapped(tmp_path / "large")[5]) == 0, "the file is as it was"


def test_memory_is_shared_with_the_other_processes_and_bounded_by_the_container(tmp_path, monkeypatch):
    monkeypatch.setattr(decoded, "CGROUP", tmp_path)
    free = decoded._free_memory()
    assert decoded.fits_in_memory(int(free * 0.3))
    monkeypatch.setenv("LOCAL_WORLD_SIZE", "8")
    assert not decoded.fits_in_memory(int(free * 0.3))
    monkeypatch.delenv("LOCAL_WORLD_SIZE")
    (tmp_path / "memory.max").write_text("1000000\n")
    (tmp_path / "memory.current").write_text("400000\n")
    assert decoded._free_memory() == 600000
    assert decoded.fits_in_memory(300000)
    assert not decoded.fits_in_memory(300001)
    (tmp_path / "memory.max").write_text("max\n")
    assert decoded._free_memory() > 1e6


def test_the_pool_does_not_run_ahead(folder, monkeypatch):
    """What is decoded and not yet written is bounded."""
    monkeypatch.setattr(decoding, "AT_ONCE", 10)
    started, decode, ahead = [], decoding._decode, []
    monkeypatch.setattr(decoding, "_decode", lambda path, size: started.append(path) or decode(path, size))
    write = torch.Tensor.__setitem__

    def slow(tensor, index, value):
        if tensor.ndim == 4 and isinstance(index, int):
            ahead.append(len(started) - index)
        write(tensor, index, value)

    monkeypatch.setattr(torch.Tensor, "__setitem__", slow)
    load(folder, image_size=8)
    assert len(ahead) == 104
    assert max(ahead) <= 10


def test_a_full_disk_is_one_clear_line(folder, no_room, monkeypatch):
    monkeypatch.setattr(decoded.shutil, "disk_usage", lambda path: type("Usage", (), {"free": 100})())
    with pytest.raises(InputError, match=r"data_root: expected room for 0\.0 GB of decoded images"):
        load(folder, image_size=8)
    assert not list((folder.parent / "cache" / "decoded").glob("*.u8"))


def test_a_squeeze_is_refused(folder, no_room):
    with pytest.raises(InputError, match="squeeze: expected 0 and 1 for images that do not fit in memory"):
        load(folder, image_size=8, squeeze=(0.1, 0.9))


@pytest.mark.skipif(not Path("/proc/self/smaps_rollup").exists(), reason="tells memory from page cache on Linux only")
def test_what_is_mapped_can_be_let_go_of(tmp_path):
    """Reading the mapped images makes no memory of the process's own: the system may drop every page of them."""
    script = f"""
import pathlib, torch
from intertwine.training import decoded
here = pathlib.Path({str(tmp_path)!r})
(here / "one").write_text("")
def fill(images):
    for i, image in enumerate(images):
        image.fill_(i % 251)
    return {{}}
def own():
    lines = open("/proc/self/smaps_rollup").read().splitlines()
    return next(int(line.split()[1]) for line in lines if line.startswith("Anonymous:"))
n, size = 1500, 128
before = own()
images, _ = decoded.on_disk(here / "cache", [str(here / "one")] * n, size, fill, print)
assert int(images.view(-1)[::4096].long().sum()) > 0
assert int(images[1499].max()) == 1499 % 251
print("MB", (own() - before) // 1024, "of", images.nbytes >> 20)
"""
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, timeout=120)
    assert done.returncode == 0, done.stderr[-2000:]
    own, whole = (int(word) for word in done.stdout.split("MB ")[1].split(" of "))
    assert whole == 70
    assert own < 25
