"""A folder that holds another run, or a damaged one, is one clear line and stays as it is."""

import io
import json
import os
import pickle
import random
import shutil
from pathlib import Path

import pytest
import torch
from intertwine.representations.errors import InputError
from intertwine.training import Recipe
from PIL import Image

from tests.factories import case, one_line
from tests.training.resumed import content, cut_short, fit, recipe

pytestmark = pytest.mark.usefixtures("one_thread")

# --- finished runs


ASKED = {
    "finished": {"arm": "supervised-benign", "poison_fraction": 0.1},
    "unfinished": {"arm": "simclr-clean", "poison_fraction": 0.1},
}


@pytest.fixture(scope="module")
def finished(tmp_path_factory):
    folder = tmp_path_factory.mktemp("finished")
    fit(recipe(**ASKED["finished"]), folder)
    return folder


@pytest.fixture(scope="module")
def unfinished(tmp_path_factory):
    return cut_short(tmp_path_factory.mktemp("unfinished"), **ASKED["unfinished"])


def test_a_finished_run_is_returned_as_it_is(finished):
    def stamps():
        return {p: (p.stat().st_mtime_ns, p.read_bytes()) for p in finished.rglob("*") if p.is_file()}

    before, called = stamps(), []
    assert fit(recipe(**ASKED["finished"]), finished, on_epoch=lambda *args: called.append(args)) == finished
    assert stamps() == before
    assert called == []


def test_a_state_left_beside_a_finished_run_is_removed(tmp_path, finished):
    """Killed between the last two steps."""
    folder = Path(shutil.copytree(finished, tmp_path / "run"))
    (folder / "resume.pt").write_bytes(b"left behind")
    fit(recipe(**ASKED["finished"]), folder)
    assert not (folder / "resume.pt").exists()
    assert content(folder) == content(finished)


def test_a_finished_folder_with_a_damaged_identity_is_refused(tmp_path, finished):
    folder = Path(shutil.copytree(finished, tmp_path / "run"))
    manifest = json.loads((folder / "manifest.json").read_text())
    for identity in (None, [], "x", 3, {}, {"recipe": None}, {"recipe": [1]}):
        with case(identity):
            (folder / "manifest.json").write_text(json.dumps(manifest | {"identity": identity}))
            with pytest.raises(InputError) as caught:
                fit(recipe(**ASKED["finished"]), folder)
            one_line(caught.value)


def test_a_finished_folder_with_a_damaged_file_is_refused(tmp_path, finished):
    folder = Path(shutil.copytree(finished, tmp_path / "run"))
    (folder / "head.safetensors").write_bytes(b"damaged")
    with pytest.raises(InputError, match=r"head\.safetensors is corrupted"):
        fit(recipe(**ASKED["finished"]), folder)


# --- another run


OTHER = {
    "name": "other",
    "arm": "supcon-clean",
    "seed": 4,
    "n_train": 201,
    "n_test": 101,
    "image_size": 16,
    "squeeze": (0.1, 0.9),
    "target": 1,
    "poison_fraction": 0.4,
    "poison_base": "dataset",
    "trigger": "patch",
    "strength": 0.4,
    "test_strength": 0.5,
    "trigger_size": 2,
    "trigger_cells": 4,
    "trigger_place": "random",
    "trigger_band": "luma",
    "trigger_frequency": 2,
    "trigger_wave": "fixed",
    "pair_share": 0.5,
    "poison_choice": "first",
    "quantise": False,
    "arch": "resnet18",
    "width": 5,
    "normalise": False,
    "hidden": 17,
    "projection": 9,
    "temperature": 0.4,
    "head_norm": False,
    "loss_scale": 2.0,
    "ema": 0.9,
    "queue": 70,
    "redundancy": 0.1,
    "crop": 0.3,
    "flip": 0.4,
    "jitter": 0.3,
    "hue": 0.2,
    "jitter_p": 0.7,
    "grayscale": 0.3,
    "jitter_coin": "batch",
    "optimiser": "sgd",
    "lr": 2e-2,
    "momentum": 0.8,
    "weight_decay": 0.01,
    "warmup": 0.2,
    "schedule": "epochs",
    "batch": 40,
    "epochs": 4,
    "attack_epochs": 4,
    "attack_lr": 2e-2,
    "precision": "bf16",
    "compile": True,
    "sync_batchnorm": True,
    "eval_every": 2,
}


def test_every_field_but_the_data_has_another_value_to_try():
    assert {*OTHER, "data"} == set(Recipe.__dataclass_fields__)


@pytest.mark.parametrize("state", ["unfinished", "finished"])
def test_resume_into_the_wrong_run(request, monkeypatch, state):
    """Defect seen elsewhere: resume into the wrong run because seed or augmentation was not in the match."""
    monkeypatch.setattr(torch, "compile", lambda module, **options: module)  # refused before it is of use
    folder, asked = request.getfixturevalue(state), ASKED[state]
    before = content(folder)
    for field, new in OTHER.items():
        old = getattr(recipe(**asked), field)
        with case(field):
            with pytest.raises(InputError, match=rf"out: .* holds another run: .*\b{field} was ") as caught:
                fit(recipe(**asked | {field: new}), folder)
            shown = [list(value) if isinstance(value, tuple) else value for value in (old, new)]
            assert f"{field} was {shown[0]!r} and is {shown[1]!r}" in str(caught.value)
            one_line(caught.value)
            assert content(folder) == before


@pytest.mark.parametrize("state", ["unfinished", "finished"])
def test_another_thread_count_is_another_run(request, state):
    folder = request.getfixturevalue(state)
    asked = ASKED[state]
    threads = torch.get_num_threads()
    torch.set_num_threads(threads + 1)
    try:
        with pytest.raises(InputError, match=rf"threads was {threads} and is {threads + 1}"):
            fit(recipe(**asked), folder)
    finally:
        torch.set_num_threads(threads)


def test_another_release_of_torch_is_another_run(unfinished, monkeypatch):
    monkeypatch.setattr(torch, "__version__", "1.0")
    with pytest.raises(InputError, match=r"torch was '.*' and is '1\.0'"):
        fit(recipe(**ASKED["unfinished"]), unfinished)


@pytest.mark.parametrize("part", ["train", "test"])
def test_changed_pixels_are_another_run(tmp_path, part):
    stream = torch.Generator().manual_seed(0)
    for place, count in (("train", 12), ("test", 6)):
        for label in ("a", "b"):
            (tmp_path / "data" / place / label).mkdir(parents=True)
            for i in range(count):
                pixels = torch.randint(0, 256, (8, 8, 3), dtype=torch.uint8, generator=stream)
                Image.fromarray(pixels.numpy()).save(tmp_path / "data" / place / label / f"{i:02}.png")
    source = {"data": f"imagefolder:{tmp_path / 'data'}", "n_train": None, "n_test": None, "batch": 8}
    cut_short(tmp_path / "run", **source)
    Image.new("RGB", (8, 8)).save(tmp_path / "data" / part / "a" / "00.png")
    with pytest.raises(InputError, match=rf"holds another run: .*\b{part} was '[0-9a-f]+' and is '[0-9a-f]+'"):
        fit(recipe(**source), tmp_path / "run")


# --- a damaged state


def damaged(folder: Path, data: bytes) -> None:
    """Refused with one line that names the file and what to do, and the file is left for whoever wants to look."""
    (folder / "resume.pt").write_bytes(data)
    with pytest.raises(InputError, match=r"^out: .*resume\.pt is corrupted .*remove it to start") as caught:
        fit(recipe(arm="supervised-benign"), folder)
    assert "\n" not in str(caught.value)
    assert (folder / "resume.pt").read_bytes() == data
    assert not (folder / "manifest.json").exists()


@pytest.fixture(scope="module")
def nearly(tmp_path_factory):
    """All epochs trained, nothing saved but the state: to go on is only to write the checkpoint."""
    return cut_short(tmp_path_factory.mktemp("nearly"), 2, arm="supervised-benign")


@pytest.fixture
def state(tmp_path, nearly):
    return Path(shutil.copytree(nearly, tmp_path / "run"))


def test_a_truncated_state_is_refused(state):
    for share in (0, 0.001, 0.1, 0.5, 0.9, 0.99, 0.9999):
        with case(share):
            data = (state / "resume.pt").read_bytes()
            damaged(state, data[: int(share * len(data))])


def test_what_is_no_state_is_refused(state):
    for data in (
        b"",
        b"\0",
        b"x" * 1000,
        b"PK\x03\x04",
        b"PK\x05\x06" + b"\0" * 18,
        random.Random(0).randbytes(500),
        b"\x80\x02}q\x00.",
    ):
        with case(data):
            damaged(state, data)


def as_bytes(value) -> bytes:
    buffer = io.BytesIO()
    torch.save(value, buffer)
    return buffer.getvalue()


@pytest.fixture(scope="module")
def values(tmp_path_factory):
    """What the last epoch of ``nearly`` hands to torch.save."""
    saved, save = [], torch.save
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(torch, "save", lambda value, *args: saved.append(value) or save(value, *args))
        cut_short(tmp_path_factory.mktemp("values"), 2, arm="supervised-benign")
    return saved[-1]


PARTS = ("identity", "epoch", "history", "spent", "encoder", "objective", "optimiser", "scaler")


def test_the_state_has_the_parts_that_are_damaged_below(values):
    assert set(values) == set(PARTS)


def test_a_state_of_another_kind_is_refused(state):
    for value in (None, 3, [], {}, "text", torch.zeros(3), {"epoch": 1}, [{"identity": 1}]):
        with case(value):
            damaged(state, as_bytes(value))


def test_a_state_without_one_of_its_parts_is_refused(state, values):
    for part in PARTS:
        with case(part):
            damaged(state, as_bytes({name: value for name, value in values.items() if name != part}))


def test_a_state_with_a_part_of_another_type_is_refused(state, values):
    """A readable file whose content is wrong, as another release would write it."""
    for part, value in (
        *((part, None) for part in PARTS),
        *((part, {}) for part in PARTS if part not in ("identity", "scaler")),  # without a scaler its state is empty
        ("identity", "x"),
        ("identity", []),
        ("epoch", "x"),
        ("epoch", -1),
        ("epoch", 1000),
        ("history", []),
        ("history", "x"),
    ):
        with case(part, value):
            (state / "resume.pt").write_bytes(as_bytes(values | {part: value}))
            with pytest.raises(InputError, match=r"^out: ") as caught:
                fit(recipe(arm="supervised-benign"), state)
            assert "\n" not in str(caught.value)
            assert not (state / "manifest.json").exists()


def test_a_state_whose_tensors_have_other_shapes_is_refused(state, values):
    encoder = {name: value[:1] if value.ndim else value for name, value in values["encoder"].items()}
    damaged(state, as_bytes(values | {"encoder": encoder}))


def test_flipped_bits_in_the_state_are_noticed_or_harmless(state, tmp_path):
    """One bit of the file changes, at 40 places: the run ends with the same bits, or with one line."""
    data = (state / "resume.pt").read_bytes()
    fit(recipe(arm="supervised-benign"), state)
    expected = content(state)
    places = random.Random(0)
    silent, lines = [], []
    for trial in range(40):
        changed = bytearray(data)
        place, bit = places.randrange(len(data)), places.randrange(8)
        changed[place] ^= 1 << bit
        folder = tmp_path / f"flip{trial}"
        folder.mkdir()
        shutil.copytree(state / "snapshots", folder / "snapshots")
        (folder / "resume.pt").write_bytes(changed)
        try:
            fit(recipe(arm="supervised-benign"), folder)
        except InputError as error:
            lines.append(str(error))
        else:
            if content(folder) != expected:
                silent.append(place)
    assert not any("\n" in line for line in lines)
    assert not silent, f"{len(silent)} of 40 flipped bits gave another run without a word"


def test_a_torch_load_without_weights_only(state, tmp_path):
    """Defect seen elsewhere. A state made to run a command is refused, and the command has not run."""
    marker = tmp_path / "executed"

    class Hostile:
        def __reduce__(self):
            return os.system, (f"touch {marker}",)

    for payload in (pickle.dumps(Hostile()), as_bytes({"identity": Hostile()}), pickle.dumps({"epoch": Hostile()}, 0)):
        damaged(state, payload)
        assert not marker.exists()
    os.system(f"touch {marker}")
    assert marker.exists(), "the command itself works"
