"""Any manifest loads, or is one clear line."""

import json
import math
import shutil
import subprocess
import sys
from itertools import product
from pathlib import Path

import torch
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from intertwine.checkpoints import (
    load_encoder,
)
from intertwine.representations.errors import InputError

from tests.checkpoints.saved import FILES, IMAGES, intact, manifest_of, refused, rewrite
from tests.factories import case, one_line

# --- damaged manifests


def test_a_manifest_that_is_not_json_is_corrupted(folder):
    for data in (
        b"",
        b"{",
        b"not json",
        b"\xff\xfe\x00",
        b"{'format': 1}",
        b'{"format": 1,}',
        b"\0" * 100,
        b'{"format": 1} trailing',
        b"[" * 100_000,
        b'{"a":' * 100_000,
        b'{"format": ' + b"1" * 5000 + b"}",
    ):
        with case(data), intact(folder):
            (folder / "manifest.json").write_bytes(data)
            refused(folder, r"checkpoint: .*manifest\.json is corrupted")


def test_another_format_is_refused(folder):
    for text in ("[]", "null", "1", '"text"', "{}", '{"format": 2}', '{"format": "1"}', '{"format": null}'):
        with case(text), intact(folder):
            (folder / "manifest.json").write_text(text)
            refused(folder, r"manifest\.json: expected format 1, received ")


def test_tables_of_another_type_are_refused(folder):
    for key, value in product(("encoder", "files"), (None, [], "x", 3, True)):
        with case(key, value), intact(folder):
            rewrite(folder, **{key: value})
            refused(folder, rf"manifest\.json: expected a table '{key}', received")
            manifest = manifest_of(folder)
            del manifest[key]
            (folder / "manifest.json").write_text(json.dumps(manifest))
            refused(folder, rf"expected a table '{key}', received None")


def test_a_spec_with_a_missing_field_is_refused(folder):
    for key in ("arch", "width", "image_size", "mean", "std"):
        with case(key), intact(folder):
            spec = manifest_of(folder)["encoder"]
            del spec[key]
            rewrite(folder, encoder=spec)
            refused(folder, "encoder spec: expected the fields arch, width, image_size, mean, std, received")


def test_a_spec_with_an_unknown_field_is_refused(folder):
    rewrite(folder, encoder=manifest_of(folder)["encoder"] | {"depth": 3})
    refused(folder, "encoder spec: expected the fields .* received .*depth")


def test_a_spec_with_another_type_or_range_is_refused(folder):
    for key, value in (
        ("arch", "resnet9000"),
        ("arch", None),
        ("arch", ["resnet8"]),
        ("arch", {"resnet8": 1}),
        ("arch", 8),
        ("width", 0),
        ("width", -3),
        ("width", 3.0),
        ("width", "3"),
        ("width", None),
        ("width", [3]),
        ("width", 10**9),
        ("width", 10**400),
        ("image_size", 0),
        ("image_size", "16"),
        ("image_size", 10**9),
        ("mean", None),
        ("mean", 0.5),
        ("mean", True),
        ("mean", [0.5, 0.5]),
        ("mean", ["0.5", "0.5", "0.5"]),
        ("mean", [None, 0.5, 0.5]),
        ("mean", [[0.5], 0.5, 0.5]),
        ("mean", {"r": 0.5, "g": 0.5, "b": 0.5}),
        ("mean", [math.nan, 0.5, 0.5]),
        ("mean", [math.inf, 0.5, 0.5]),
        ("mean", [10**400, 0.5, 0.5]),
        ("std", None),
        ("std", 0.5),
        ("std", "abc"),
        ("std", [0, 0.5, 0.5]),
        ("std", [-0.5, 0.5, 0.5]),
        ("std", [math.nan, 0.5, 0.5]),
        ("std", [0.5, 0.5, math.nan]),
        ("std", [math.inf, 0.5, 0.5]),
        ("std", [1e-60, 0.5, 0.5]),
    ):
        with case(key, value), intact(folder):
            rewrite(folder, encoder=manifest_of(folder)["encoder"] | {key: value})
            refused(folder, rf"^{key}: expected")


def test_hashes_that_do_not_fit_are_refused(folder):
    for files in ({}, {"encoder.safetensors": None}, dict.fromkeys(FILES, 3), dict.fromkeys(FILES, "0" * 64)):
        with case(files), intact(folder):
            rewrite(folder, files=files)
            refused(folder, r"encoder\.safetensors is corrupted")


def test_a_larger_width_than_the_tensors_is_refused_without_building_it(folder):
    """resnet18 of width 1024 has 2.8 billion weights: a manifest of a few bytes must not take 11 GB before the shapes
    in the file are looked at. Here it may take one."""
    rewrite(folder, encoder=manifest_of(folder)["encoder"] | {"arch": "resnet18", "width": 1024})
    script = (
        "import sys\n"
        "from intertwine.checkpoints import load_checkpoint\n"
        "from intertwine.representations.errors import InputError\n"
        "import resource\n"
        "used = int(open('/proc/self/statm').read().split()[0]) * resource.getpagesize()\n"
        "resource.setrlimit(resource.RLIMIT_AS, (used + 1_000_000_000,) * 2)\n"
        "try:\n"
        "    load_checkpoint(sys.argv[1])\n"
        "except InputError as error:\n"
        "    print('refused:', error)\n"
    )
    done = subprocess.run(
        [sys.executable, "-c", script, str(folder)], capture_output=True, text=True, timeout=60, check=False
    )
    assert done.stdout.startswith("refused: checkpoint: "), done.stderr[-300:]
    assert done.stdout.count("\n") == 1


def test_no_bit_of_the_encoder_s_table_changes_without_a_word(folder):
    """The manifest says how to normalise: std .2 for .25 would load and give other features."""
    data = (folder / "manifest.json").read_bytes()
    start = data.index(b'"encoder"')
    end = data.index(b'"files"')
    with torch.no_grad():
        expected = load_encoder(folder)(IMAGES)
    silent = []
    for place in range(start, end):
        for bit in (0, 1, 2):
            changed = bytearray(data)
            changed[place] ^= 1 << bit
            (folder / "manifest.json").write_bytes(changed)
            try:
                with torch.no_grad():
                    same = torch.equal(load_encoder(folder)(IMAGES), expected)
            except InputError as error:
                one_line(error)
            else:
                if not same:
                    silent.append(bytes(changed[place - 8 : place + 8]).decode(errors="replace"))
    assert not silent, f"{len(silent)} flipped bits gave other features: {silent[:5]}"


# Sizes between 17 and 1024 are valid and would only build large encoders.
numbers = st.integers(-3, 16) | st.integers(1025, 2**70) | st.floats()


json_values = st.recursive(
    st.none() | st.booleans() | numbers | st.text("ab0.", max_size=4) | st.sampled_from(["resnet8", "resnet18"]),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text("ab", max_size=3), inner, max_size=3),
    max_leaves=6,
)


relaxed = settings(
    deadline=None, max_examples=150, suppress_health_check=[HealthCheck.too_slow, HealthCheck.function_scoped_fixture]
)


def loads_or_is_refused(folder: Path, text: str | bytes) -> None:
    before = (folder / "manifest.json").read_bytes()
    (folder / "manifest.json").write_bytes(text.encode() if isinstance(text, str) else text)
    try:
        with torch.no_grad():
            assert torch.isfinite(load_encoder(folder)(IMAGES)).all(), "what loads must work"
    except InputError as error:
        one_line(error)
    finally:
        (folder / "manifest.json").write_bytes(before)


@relaxed
@given(key=st.sampled_from(["arch", "width", "image_size", "mean", "std", "extra"]), value=json_values)
def test_any_value_in_the_spec_loads_or_is_an_input_error(original, tmp_path_factory, key, value):
    folder = fuzzed(original, tmp_path_factory)
    manifest = manifest_of(folder)
    loads_or_is_refused(folder, json.dumps(manifest | {"encoder": manifest["encoder"] | {key: value}}))


@relaxed
@given(changes=st.dictionaries(st.sampled_from(["format", "encoder", "files", "other"]), json_values, max_size=3))
def test_any_manifest_loads_or_is_an_input_error(original, tmp_path_factory, changes):
    folder = fuzzed(original, tmp_path_factory)
    loads_or_is_refused(folder, json.dumps(manifest_of(folder) | changes))


@relaxed
@given(data=st.binary(max_size=60) | st.text(max_size=60) | json_values.map(json.dumps))
def test_any_bytes_as_manifest_are_an_input_error(original, tmp_path_factory, data):
    loads_or_is_refused(fuzzed(original, tmp_path_factory), data)


def fuzzed(original: Path, factory) -> Path:
    folder = factory.getbasetemp() / "fuzzed"
    if not folder.exists():
        shutil.copytree(original, folder)
    return folder
