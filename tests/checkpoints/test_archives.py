"""What others saved is read without running any of it, or refused in one line."""

import argparse
import collections
import os
import pathlib
import pickle
import struct
import subprocess
import sys
import zipfile

import numpy as np
import pytest
import safetensors.torch
import torch
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from intertwine.checkpoints.archives import Inert, read_archive
from intertwine.representations.errors import InputError
from torch import nn

from tests.factories import case, same


def net():
    return nn.Sequential(nn.Conv2d(3, 4, 3), nn.BatchNorm2d(4))


class Evil:
    def __init__(self, *call):
        self.call = call

    def __reduce__(self):
        return self.call


def test_tensors_come_out_as_torch_reads_them(tmp_path):
    state, shared = net().state_dict(), torch.arange(12.0)
    payload = {
        "state_dict": state,
        "half": torch.randn(3, 4).half(),
        "turned": torch.randn(3, 4).t(),
        "part": shared[3:9:2],
        "whole": shared,
        "scalar": torch.tensor(7),
        "empty": torch.empty(0, 5),
        "parameter": nn.Parameter(torch.ones(2)),
        "bool": torch.tensor([True, False]),
        "plain": [1, 2.5, "text", None, (True, 3)],
    }
    torch.save(payload, tmp_path / "a.pt")
    found = read_archive(tmp_path / "a.pt")
    assert same(found["state_dict"], dict(state))
    for name in ("half", "turned", "part", "whole", "scalar", "empty", "parameter", "bool"):
        assert found[name].dtype == payload[name].dtype
        assert torch.equal(found[name], payload[name]), name
    assert found["plain"] == payload["plain"]
    safetensors.torch.save_file(dict(state), tmp_path / "a.safetensors")
    assert same(read_archive(tmp_path / "a.safetensors"), dict(state))
    torch.save(dict(state), tmp_path / "old.pth", _use_new_zipfile_serialization=False)
    assert same(read_archive(tmp_path / "old.pth"), dict(state))


def test_unknown_objects_are_inert_and_the_tensors_beside_them_come_out(tmp_path):
    model = net()
    payload = {
        "state_dict": model.state_dict(),
        "hyper_parameters": argparse.Namespace(lr=0.1, path=pathlib.PurePosixPath("/x")),
        "callbacks": {"best": np.float64(3), "counts": collections.Counter("aab"), "model": model},
        "optimizer_states": [torch.optim.Adam(model.parameters()).state_dict()],
    }
    torch.save(payload, tmp_path / "a.ckpt")
    with pytest.raises(pickle.UnpicklingError):
        torch.load(tmp_path / "a.ckpt", weights_only=True)
    found = read_archive(tmp_path / "a.ckpt")
    assert same(found["state_dict"], dict(model.state_dict()))
    assert isinstance(found["hyper_parameters"], Inert)
    assert isinstance(found["callbacks"]["model"], Inert)


CALLS = {
    "a command": lambda mark: (os.system, (f"touch {mark}",)),
    "a process": lambda mark: (subprocess.Popen, (["touch", str(mark)],)),
    "code": lambda mark: (eval, (f"open({str(mark)!r}, 'w')",)),
    "a file": lambda mark: (open, (str(mark), "w")),
    "an import": lambda mark: (__import__, ("antigravity",)),
    "attributes of ours": lambda mark: (setattr, (Inert, "pwned", 1)),
    "torch's own loader": lambda mark: (torch.load, (str(mark),)),
    "what a dictionary gives": lambda mark: (getattr, ("text", "upper")),
}


def test_nothing_that_a_pickle_asks_for_is_called(tmp_path, monkeypatch):
    for name in CALLS:
        with case(name):
            mark = tmp_path / "pwned"
            torch.save({"state_dict": net().state_dict(), "evil": Evil(*CALLS[name](mark))}, tmp_path / "a.pt")
            found = read_archive(tmp_path / "a.pt")
            assert isinstance(found["evil"], Inert)
            assert not mark.exists()
            assert not hasattr(Inert, "pwned")
            assert found["state_dict"]


def archive(path, pickled, storages=(), *, compress=zipfile.ZIP_STORED, more=()):
    with zipfile.ZipFile(path, "w", compress) as out:
        out.writestr("archive/data.pkl", pickled)
        for key, raw in enumerate(storages):
            out.writestr(f"archive/data/{key}", raw)
        for name, raw in more:
            out.writestr(name, raw)
    return path


class Told:
    """Pickles as a tensor of any claim."""

    def __init__(self, numel, offset, size, stride, key="0", kind="FloatStorage"):
        self.claim = numel, offset, size, stride, key, kind


class _Claims(pickle.Pickler):
    def persistent_id(self, obj):
        return (
            ("storage", getattr(torch, obj.claim[5]), obj.claim[4], "cpu", obj.claim[0])
            if isinstance(obj, Told)
            else None
        )

    def reducer_override(self, obj):
        return NotImplemented


class _Tensor:
    def __init__(self, told):
        self.told = told

    def __reduce__(self):
        _, offset, size, stride, _, _ = self.told.claim
        return torch._utils._rebuild_tensor_v2, (self.told, offset, size, stride, False, collections.OrderedDict())


def claimed(path, raw, *claim, **more):
    import io

    buffer = io.BytesIO()
    _Claims(buffer, protocol=2).dump({"w": _Tensor(Told(*claim, **more))})
    return archive(path, buffer.getvalue(), [raw])


def test_a_tensor_that_claims_what_it_is(tmp_path):
    raw = struct.pack("<6f", *range(6))
    found = read_archive(claimed(tmp_path / "a.pt", raw, 6, 0, (2, 3), (3, 1)))
    assert found["w"].tolist() == [[0, 1, 2], [3, 4, 5]]


def test_a_tensor_that_claims_more_than_its_storage_is_refused(tmp_path):
    for claim in (
        (6, 0, (2, 4), (4, 1)),
        (6, 1, (2, 3), (3, 1)),
        (6, 0, (10**12,), (0,)),
        (6, 0, (2**40, 2**40), (0, 0)),
        (10**11, 0, (6,), (1,)),
        (6, -1, (2,), (1,)),
        (6, 0, (2,), (-1,)),
        (6, 0, (2, 3), (1,)),
    ):
        with case(claim), pytest.raises(InputError, match=r"a\.pt is damaged"):
            read_archive(claimed(tmp_path / "a.pt", struct.pack("<6f", *range(6)), *claim))


def test_a_missing_storage_and_one_of_another_type(tmp_path):
    with pytest.raises(InputError, match="lacks the storage '9'"):
        read_archive(claimed(tmp_path / "a.pt", b"", 6, 0, (6,), (1,), key="9"))
    with pytest.raises(InputError, match=r"lacks the storage '../../etc/passwd'"):
        read_archive(claimed(tmp_path / "a.pt", b"", 6, 0, (6,), (1,), key="../../etc/passwd"))
    found = read_archive(claimed(tmp_path / "a.pt", bytes(24), 6, 0, (6,), (1,), kind="Tensor"))
    assert isinstance(found["w"], Inert), "of a kind that no encoder has: only who wants it misses it"


def test_bombs_and_strange_files(tmp_path):
    bomb = archive(tmp_path / "bomb.pt", pickle.dumps({}), [bytes(50_000_000)], compress=zipfile.ZIP_DEFLATED)
    assert bomb.stat().st_size < 100_000
    with pytest.raises(InputError, match=r"bomb\.pt: expected stored entries, received '.*' compressed"):
        read_archive(bomb)
    deep = b"\x80\x02" + b"]" * 200_000 + b"a" * 199_999 + b"."
    with pytest.raises(InputError, match="nested too deeply"):
        read_archive(archive(tmp_path / "deep.pt", deep))
    with pytest.raises(InputError, match=r"a zip without its data\.pkl"):
        read_archive(archive(tmp_path / "two.pt", pickle.dumps({}), more=[("other/data.pkl", b"")]))
    with pytest.raises(InputError, match="little-endian"):
        read_archive(archive(tmp_path / "big.pt", pickle.dumps({}), more=[("archive/byteorder", b"big")]))
    for name, content in {"text": b"hello there", "empty": b"", "png": b"\x89PNG\r\n\x1a\n" + bytes(50)}.items():
        (tmp_path / name).write_bytes(content)
        with pytest.raises(InputError, match=r"expected safetensors or a file of torch\.save, received neither"):
            read_archive(tmp_path / name)
    with pytest.raises(InputError, match=r"none\.pt cannot be read: No such file"):
        read_archive(tmp_path / "none.pt")
    with pytest.raises(InputError, match="expected a file, received a folder"):
        read_archive(tmp_path)
    os.mkfifo(tmp_path / "pipe")
    for path in (tmp_path / "pipe", "/dev/zero"):
        with pytest.raises(InputError, match="expected a file, received something else"):
            read_archive(path)


HOSTILE = {
    "a key that hashes without end": b"\x80\x02}(" + b")" + b"\x85" * 1_000_000 + b"Nu.",
    "a place in the memo": b"\x80\x02Nr" + (2**32 - 1).to_bytes(4, "little") + b".",
    "copies of a large text": b"\x80\x02X" + (1 << 20).to_bytes(4, "little") + b"a" * (1 << 20) + b"q\x000]"
    + b"ctorch\nSize\nh\x00\x85Ra" * 3000 + b".",
    "a registered extension": b"\x80\x02\x82\x01.",
    "a byte array of any size": b"\x80\x05\x96" + (1 << 40).to_bytes(8, "little") + b".",
    "keys that collide": b"\x80\x02}(" + b"".join(
        b"\x8a\x0a" + (k * (2**61 - 1)).to_bytes(10, "little") + b"N" for k in range(1, 20_000)
    ) + b"u.",
    "a long shape": b"\x80\x02ctorch._utils\n_rebuild_tensor_v2\n(NK\x00("
    + b"\x8a\x08\xff\xff\xff\xff\xff\xff\xff\x7f" * 30_000 + b"t(tNNtR.",
}  # fmt: skip


READ_ALL = """
import resource, sys, time
from intertwine.checkpoints.archives import read_archive
from intertwine.representations.errors import InputError

used = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
for path in sys.argv[1:]:
    print(path, flush=True)
    resource.setrlimit(resource.RLIMIT_CPU, (int(time.process_time()) + 20, resource.RLIM_INFINITY))
    try:
        read_archive(path)
    except InputError as error:
        assert len(str(error)) < 500, str(error)
    assert resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - used < 500_000, "memory"
"""


def test_what_was_made_to_hang_or_to_swell_ends_soon(tmp_path):
    """In a process of its own, which ends when one of them takes twenty seconds or half a gigabyte."""
    head = [pickle.dumps(x, protocol=2) for x in (0x1950A86A20F9469CFC6C, 1001, {"little_endian": True})]
    paths = []
    for number, pickled in enumerate(HOSTILE.values()):
        paths.append(archive(tmp_path / f"{number}.pt", pickled))
        paths.append(tmp_path / f"{number}-old.pt")
        paths[-1].write_bytes(b"".join(head) + pickled + pickle.dumps([], protocol=2))
    done = subprocess.run([sys.executable, "-c", READ_ALL, *paths], capture_output=True, text=True, timeout=300)
    assert done.returncode == 0, (done.stdout.splitlines()[-1], list(HOSTILE), done.stderr[-500:])
    assert done.stdout.split() == [str(path) for path in paths]


def test_overlapping_entries_are_refused(tmp_path):
    path = archive(tmp_path / "a.pt", pickle.dumps({}), [bytes(100_000)])
    raw = bytearray(path.read_bytes())
    with zipfile.ZipFile(path) as made:
        entries = made.infolist()
    # A second name for the same bytes: another line of the directory that points to the same place.
    start = int.from_bytes(raw[-6:-2], "little")
    first = raw.index(b"PK\x01\x02", start)
    second = raw.index(b"PK\x01\x02", first + 4)
    line, end = bytes(raw[second:-22]), bytearray(raw[-22:])
    twins = b"".join(line.replace(b"data/0", b"data/%d" % i) for i in range(1, 9))
    total = len(entries) + 8
    end[8:12] = total.to_bytes(2, "little") * 2
    end[12:16] = (len(raw) - 22 - start + len(twins)).to_bytes(4, "little")
    path.write_bytes(bytes(raw[:-22]) + twins + bytes(end))
    with pytest.raises(InputError, match=r"a\.pt is damaged"):
        read_archive(path)


def test_old_files_are_read_by_the_same_reader(tmp_path):
    mark, state, shared = tmp_path / "pwned", net().state_dict(), torch.arange(6.0)
    payload = {"state_dict": state, "args": argparse.Namespace(), "evil": Evil(os.system, (f"touch {mark}",))}
    payload |= {"a": shared[2:4], "b": shared.half()}
    torch.save(payload, tmp_path / "old.pth", _use_new_zipfile_serialization=False)
    found = read_archive(tmp_path / "old.pth")
    assert same(found["state_dict"], dict(state))
    assert found["a"].tolist() == [2, 3]
    assert torch.equal(found["b"], shared.half())
    assert isinstance(found["args"], Inert)
    assert isinstance(found["evil"], Inert)
    assert not mark.exists()
    whole = (tmp_path / "old.pth").read_bytes()
    for cut in (20, len(whole) // 2, len(whole) - 3):
        (tmp_path / "cut.pth").write_bytes(whole[:cut])
        with pytest.raises(InputError, match=r"damaged|received another pickle"):
            read_archive(tmp_path / "cut.pth")
    (tmp_path / "other.pkl").write_bytes(pickle.dumps({"a": 1}))
    with pytest.raises(InputError, match=r"expected a file of torch\.save, received another pickle"):
        read_archive(tmp_path / "other.pkl")


def test_strange_tensors_beside_a_state_dict_do_no_harm(tmp_path):
    payload = {
        "state_dict": net().state_dict(),
        "quantised": torch.quantize_per_tensor(torch.ones(3), 0.1, 0, torch.qint8),
        "counts": torch.ones(3, dtype=torch.uint16),
        "conjugated": torch.ones(2, dtype=torch.complex64).conj(),
    }
    torch.save(payload, tmp_path / "a.pt")
    found = read_archive(tmp_path / "a.pt")
    assert found["state_dict"]
    assert all(isinstance(found[name], Inert) for name in ("quantised", "counts", "conjugated"))


def test_nothing_stays_behind_in_the_process(tmp_path):
    """BUILD on whatever a global gives: PyTorch's function, one of ours, a class."""
    pickled = b"\x80\x02]" + b"".join(
        b"(c%s\n%s\n}X\x05\x00\x00\x00pwnedK\x01sb1" % name
        for name in ((b"torch._utils", b"_rebuild_parameter"), (b"collections", b"OrderedDict"), (b"pickle", b"loads"))
    )
    read_archive(archive(tmp_path / "a.pt", pickled + b"."))
    for thing in (torch._utils._rebuild_parameter, collections.OrderedDict, pickle.loads, Inert):
        assert not hasattr(thing, "pwned")


def test_shared_references_do_not_explode(tmp_path):
    """A thousand laughs: 2⁶⁰ leaves, but 60 lists."""
    laughs = "ha"
    for _ in range(60):
        laughs = [laughs, laughs]
    found = read_archive(archive(tmp_path / "a.pt", pickle.dumps({"a": laughs})))
    assert found["a"][0] is found["a"][1]
    loop: list = []
    loop.append(loop)
    found = read_archive(archive(tmp_path / "loop.pt", pickle.dumps({"a": loop})))
    assert found["a"][0] is found["a"]


@pytest.fixture(scope="module")
def whole(tmp_path_factory):
    path = tmp_path_factory.mktemp("whole") / "a.pt"
    torch.save({"state_dict": net().state_dict(), "epoch": 3}, path)
    return path.read_bytes()


@settings(max_examples=150, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(data=st.data())
def test_bit_flips_and_cuts_end_in_a_reading_or_one_line(whole, tmp_path, data):
    damaged = bytearray(whole)
    if data.draw(st.booleans()):
        del damaged[data.draw(st.integers(0, len(damaged) - 1)) :]
    else:
        for place in data.draw(st.lists(st.integers(0, len(damaged) - 1), min_size=1, max_size=8)):
            damaged[place] ^= 1 << data.draw(st.integers(0, 7))
    (tmp_path / "a.pt").write_bytes(bytes(damaged))
    told = ""
    try:
        read_archive(tmp_path / "a.pt")
    except InputError as error:  # and nothing else
        told = str(error)
    assert "\n" not in told
