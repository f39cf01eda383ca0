"""A damaged folder is one clear line, whatever is damaged, and nothing of it is executed."""

import contextlib
import hashlib
import math
import os
import pickle
import random
import shutil
from itertools import product

import pytest
import torch
from intertwine.checkpoints import (
    load_checkpoint,
    load_encoder,
    load_snapshot,
    save_snapshot,
)
from intertwine.representations.encoders import EncoderSpec, build_encoder
from intertwine.representations.errors import InputError

from tests.checkpoints.saved import FILES, SPEC, intact, manifest_of, put, refused, rewrite, save, weights
from tests.factories import case, one_line

# --- damaged files


def test_a_truncated_file_is_refused_by_name(folder):
    for name, share in product(FILES, (0, 0.01, 0.5, 0.999)):
        with case(name, share), intact(folder):
            data = (folder / name).read_bytes()
            (folder / name).write_bytes(data[: int(share * len(data))])
            refused(folder, rf"checkpoint: .*{name} is corrupted: its SHA-256 differs")


def test_one_flipped_bit_is_refused_by_name(folder):
    for name, share, bit in product(FILES, (0.0, 0.02, 0.3, 0.7, 1.0), (0, 7)):
        with case(name, share, bit), intact(folder):
            data = bytearray((folder / name).read_bytes())
            data[int(share * (len(data) - 1))] ^= 1 << bit
            (folder / name).write_bytes(data)
            refused(folder, rf"checkpoint: .*{name} is corrupted")


def test_a_missing_file_is_refused_by_name(folder):
    for name in FILES:
        with case(name), intact(folder):
            (folder / name).unlink()
            refused(folder, rf"checkpoint: .*{name} cannot be read: No such file")
            (folder / name).mkdir()
            refused(folder, rf"checkpoint: .*{name} cannot be read")


def test_a_file_without_its_hash_is_refused(folder):
    for name in FILES:
        with case(name), intact(folder):
            files = manifest_of(folder)["files"]
            del files[name]
            rewrite(folder, files=files)
            refused(folder, rf"{name} is corrupted")


def test_the_encoder_of_another_run_is_refused(folder, tmp_path):
    """Same architecture, other weights: only the hash can tell."""
    other = save(tmp_path / "other", seed=1)
    shutil.copy(other / "encoder.safetensors", folder)
    refused(folder, r"encoder\.safetensors is corrupted")


def test_the_encoder_of_another_architecture_is_refused(folder):
    for spec, message in (
        (
            EncoderSpec("resnet18", 3, 16),
            r"encoder\.safetensors lacks 6 of .*: layer1\.0\.downsample",
        ),
        (EncoderSpec("resnet8", 5, 16), r"encoder\.safetensors: .*: expected shape \(.*\), received \(.*\)"),
    ):
        with case(message), intact(folder):
            put(folder, "encoder.safetensors", build_encoder(spec).backbone.state_dict())
            refused(folder, message)


def test_the_encoder_of_a_smaller_architecture_lacks_tensors(tmp_path):
    save(tmp_path, EncoderSpec("resnet18", 3, 16))
    put(tmp_path, "encoder.safetensors", build_encoder(SPEC).backbone.state_dict())
    refused(tmp_path, r"encoder\.safetensors lacks \d+ of the encoder's tensors: layer1\.1")


def test_missing_and_extra_tensors_are_named(folder):
    tensors = weights(folder)
    put(folder, "encoder.safetensors", {k: v for k, v in tensors.items() if k != "bn1.bias"})
    refused(folder, r"encoder\.safetensors lacks 1 of the encoder's tensors: bn1\.bias")
    put(folder, "encoder.safetensors", tensors | {"fc.weight": torch.zeros(1)})
    refused(folder, r"encoder\.safetensors holds 1 tensors that the encoder has not: fc\.weight")
    put(folder, "encoder.safetensors", {f"backbone.{k}": v for k, v in tensors.items()})
    refused(folder, r"encoder\.safetensors lacks \d+ of")
    put(folder, "encoder.safetensors", {})
    refused(folder, r"encoder\.safetensors lacks \d+ of")


def test_weights_that_are_not_finite_are_refused(folder):
    for value, name in product(
        (math.nan, math.inf, -math.inf), ("conv1.weight", "bn1.running_var", "layer3.0.bn2.bias")
    ):
        with case(value, name), intact(folder):
            tensors = weights(folder)
            tensors[name].view(-1)[-1] = value
            put(folder, "encoder.safetensors", tensors)
            refused(folder, rf"encoder\.safetensors: {name} holds NaN or infinity")


def test_a_head_that_is_not_finite_is_refused(folder):
    for value in (math.nan, math.inf):
        with case(value), intact(folder):
            put(folder, "head.safetensors", {"head.weight": torch.tensor([1.0, value])})
            refused(folder, r"head\.safetensors: head\.weight holds NaN or infinity")


def test_weights_of_another_type_are_refused_or_equal(folder):
    """Rounded to half precision, cut to whole numbers, stripped of an imaginary part: never without a word."""
    for dtype in (torch.float16, torch.float64, torch.int32, torch.bool, torch.complex64, torch.float8_e4m3fn):
        with case(dtype), intact(folder):
            tensors = weights(folder)
            with contextlib.suppress(KeyError, ValueError, RuntimeError):  # what this safetensors does not write
                put(folder, "encoder.safetensors", {k: v.to(dtype) for k, v in tensors.items()})
            try:
                loaded = load_encoder(folder).backbone.state_dict()
            except InputError as error:
                one_line(error)
            else:
                for name, value in tensors.items():
                    assert torch.equal(loaded[name], value), f"{name} was changed without a word"


HEADERS = [
    b"",
    b"\0" * 8,
    b"\xff" * 8,
    b"\x02" + b"\0" * 7 + b"{}",
    b"\x04" + b"\0" * 7 + b"null",
    b"PK\x03\x04" * 10,
    pickle.dumps({"conv1.weight": 1}),
]


def test_what_is_no_safetensors_file_is_refused_even_with_its_hash(folder):
    for data, name in product(HEADERS, ("encoder.safetensors", "head.safetensors")):
        with case(data, name), intact(folder):
            (folder / name).write_bytes(data)
            rewrite(folder, files=manifest_of(folder)["files"] | {name: hashlib.sha256(data).hexdigest()})
            if name == "head.safetensors" and data.endswith(b"{}"):
                assert load_checkpoint(folder).head == {}  # a valid file without tensors
            else:
                refused(folder, rf"checkpoint: .*{name} (is corrupted|lacks)")


def header(text: str, payload: bytes = b"\0" * 16) -> bytes:
    return len(text).to_bytes(8, "little") + text.encode() + payload


def test_broken_headers_are_input_errors(folder):
    for text, name in product(
        (
            '{"a":{"dtype":"F32","shape":[4],"data_offsets":[0,16]}',
            '{"a":{"dtype":"F99","shape":[4],"data_offsets":[0,16]}}',
            '{"a":{"dtype":"F32","shape":[4],"data_offsets":[0,400]}}',
            '{"a":{"dtype":"F32","shape":[4],"data_offsets":[16,0]}}',
            '{"a":{"dtype":"F32","shape":[-4],"data_offsets":[0,16]}}',
            '{"a":{"dtype":"F32","shape":[4611686018427387904],"data_offsets":[0,16]}}',
            '{"a":{"dtype":"F4","shape":[32],"data_offsets":[0,16]}}',
            '{"a":{"dtype":"F8_E8M0","shape":[16],"data_offsets":[0,16]}}',
            '{"a":5}',
            "[]",
        ),
        ("encoder.safetensors", "head.safetensors"),
    ):
        with case(text, name), intact(folder):
            data = header(text)
            (folder / name).write_bytes(data)
            rewrite(folder, files=manifest_of(folder)["files"] | {name: hashlib.sha256(data).hexdigest()})
            refused(folder, rf"checkpoint: .*{name} is corrupted")


def test_a_truncated_snapshot_is_refused(folder):
    for share in (0, 0.01, 0.5, 0.999):
        with case(share), intact(folder):
            checkpoint, path = load_checkpoint(folder), folder / "snapshots" / "epoch-0001.safetensors"
            data = path.read_bytes()
            path.write_bytes(data[: int(share * len(data))])
            with pytest.raises(InputError, match=r"checkpoint: .*epoch-0001\.safetensors is corrupted"):
                load_snapshot(checkpoint, 1)


def test_flipped_bits_in_a_snapshot_are_noticed(folder):
    """The store's promise: a file that does not fit the manifest is damaged."""
    checkpoint, path = load_checkpoint(folder), folder / "snapshots" / "epoch-0001.safetensors"
    data, places, silent = path.read_bytes(), random.Random(0), 0
    for _ in range(30):
        changed = bytearray(data)
        changed[places.randrange(len(data))] ^= 1 << places.randrange(8)
        path.write_bytes(changed)
        try:
            load_snapshot(checkpoint, 1)
        except InputError as error:
            one_line(error)
        else:
            silent += 1
    assert not silent, f"{silent} of 30 damaged snapshots loaded"


def test_the_snapshot_of_another_architecture_is_refused(folder):
    save_snapshot(folder, build_encoder(EncoderSpec("resnet8", 5, 16)), 1)
    with pytest.raises(InputError, match=r"epoch-0001\.safetensors is corrupted"):
        load_snapshot(load_checkpoint(folder), 1)


# --- nothing is executed


def test_a_hostile_pickle_in_place_of_any_file_is_not_executed(folder, tmp_path):
    marker = tmp_path / "executed"

    class Hostile:
        def __reduce__(self):
            return os.system, (f"touch {marker}",)

    data = pickle.dumps(Hostile())
    checkpoint = load_checkpoint(folder)
    (folder / "snapshots" / "epoch-0001.safetensors").write_bytes(data)
    with pytest.raises(InputError, match="corrupted"):
        load_snapshot(checkpoint, 1)
    for name in FILES[:2]:
        (folder / name).write_bytes(data)
        rewrite(folder, files=manifest_of(folder)["files"] | {name: hashlib.sha256(data).hexdigest()})
        with pytest.raises(InputError, match="corrupted"):
            load_checkpoint(folder)
        shutil.copy(tmp_path / "run" / "history.csv", folder / name)
    (folder / "manifest.json").write_bytes(data)
    with pytest.raises(InputError, match="corrupted"):
        load_checkpoint(folder)
    assert not marker.exists()
    pickle.loads(data)
    assert marker.exists(), "the command itself works"
