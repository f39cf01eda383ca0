"""A run that was cut short anywhere ends with the bits of one that was not, and never with those of another run."""

import atexit
import functools
import hashlib
import io
import json
import os
import pickle
import random
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import pytest
import torch
from intertwine.checkpoints import load_checkpoint
from intertwine.representations.errors import InputError
from intertwine.training import Augment, Recipe
from intertwine.training import fit as fit_anywhere
from PIL import Image


def fit(recipe: Recipe, folder: Path, **options) -> Path:
    start = clean_encoder() if recipe.arm == "badencoder" else None
    return fit_anywhere(recipe, folder, start=start, device="cpu", **options)


@functools.cache
def clean_encoder() -> Path:
    """What a model attack begins with."""
    folder = Path(tempfile.mkdtemp())
    atexit.register(shutil.rmtree, folder)
    return fit_anywhere(recipe(arm="simclr-benign", epochs=1), folder, device="cpu")


TINY = {
    "n_train": 200,
    "n_test": 100,
    "image_size": 8,
    "width": 4,
    "hidden": 16,
    "projection": 8,
    "trigger_cells": 2,
    "batch": 50,
    "epochs": 3,
    "attack_epochs": 3,
    "lr": 1e-2,
    "attack_lr": 1e-2,
    "seed": 3,
}
RUNS = {
    f"{arm}, {optimiser}": {"arm": arm, "optimiser": optimiser}
    for arm in ("supervised-dirty", "supcon-clean", "simclr-clean")
    for optimiser in ("adam", "sgd")
}
# With a slow copy, its schedule, a queue that has come round, or no loss an image.
RUNS |= {
    arm: {"arm": arm, "queue": 70, "ema": 0.9} for arm in ("byol-clean", "simsiam-clean", "moco-clean", "barlow-clean")
}
RUNS |= {"badencoder": {"arm": "badencoder"}, "loss scaler": {"arm": "simclr-clean", "precision": "fp16"}}


@pytest.fixture(autouse=True, scope="module")
def one_thread():
    """Bits are promised per thread count; the killed runs below are forks, which are safe with one only."""
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(threads)


def recipe(**changes) -> Recipe:
    return Recipe(**TINY | changes)


def content(folder: Path) -> dict[str, str]:
    """Every file but what measures time, and the commit, which may move while the tests run: two runs are the same run
    if these are equal."""
    found = {}
    for path in sorted(folder.rglob("*")):
        data = path.read_bytes() if path.is_file() else b""
        if path.name == "manifest.json":
            values = json.loads(data)
            assert set(values.pop("seconds")) == {"wall", "cpu"}
            del values["sha256"]  # of the whole manifest, times included
            del values["provenance"]["commit"]
            data = json.dumps(values).encode()
        if path.is_file():
            found[str(path.relative_to(folder))] = hashlib.sha256(data).hexdigest()
    return found


class Stop(Exception):
    """Stands for whatever ends a process in the middle."""


def stop_after(epoch: int):
    def on_epoch(done, total, row):
        if done == epoch:
            raise Stop

    return on_epoch


def cut_short(folder: Path, epoch: int = 1, **changes) -> Path:
    with pytest.raises(Stop):
        fit(recipe(**changes), folder, on_epoch=stop_after(epoch))
    assert (folder / "resume.pt").is_file()
    assert not (folder / "manifest.json").exists()
    return folder


@pytest.fixture(scope="module")
def whole(tmp_path_factory):
    """Uninterrupted runs by name, trained once."""
    made: dict[str, dict[str, str]] = {}

    def get(name: str) -> dict[str, str]:
        if name not in made:
            folder = tmp_path_factory.mktemp("whole")
            fit(recipe(**RUNS[name]), folder)
            made[name] = content(folder)
        return made[name]

    return get


# --- the same bits


@pytest.mark.parametrize("name", RUNS)
def test_two_runs_are_bit_identical(tmp_path, whole, name):
    expected = whole(name)
    torch.manual_seed(12345)
    random.seed(1)
    fit(recipe(**RUNS[name]), tmp_path)
    assert content(tmp_path) == expected


def test_runs_with_different_seeds_differ(tmp_path, whole):
    expected = whole("simclr-clean, adam")
    fit(recipe(arm="simclr-clean", seed=4), tmp_path)
    changed = {name for name, digest in content(tmp_path).items() if expected[name] != digest}
    assert changed == set(expected)


@pytest.mark.parametrize("name", RUNS)
def test_a_run_interrupted_after_every_epoch_ends_with_the_same_bits(tmp_path, whole, name):
    for epoch in (1, 2, 3):
        torch.manual_seed(epoch)
        cut_short(tmp_path, epoch, **RUNS[name])
    done = []
    fit(recipe(**RUNS[name]), tmp_path, on_epoch=lambda epoch, total, row: done.append(epoch))
    assert done == [], "nothing was left to train"
    assert content(tmp_path) == whole(name)


@pytest.mark.parametrize("call", [0, 1, 5, 9, 13, 23])
def test_an_interrupt_in_the_middle_of_an_epoch_is_as_if_it_had_not_begun(tmp_path, monkeypatch, whole, call):
    """Ctrl-C in the n-th augmentation; an epoch of this run has eight, and as many to read the rank of the losses."""
    left = [call]
    augment = Augment.apply

    def breaking(this, images, drawn):
        if not left[0]:
            raise KeyboardInterrupt
        left[0] -= 1
        return augment(this, images, drawn)

    monkeypatch.setattr(Augment, "apply", breaking)
    with pytest.raises(KeyboardInterrupt):
        fit(recipe(arm="simclr-clean"), tmp_path)
    monkeypatch.undo()
    done = []
    fit(recipe(arm="simclr-clean"), tmp_path, on_epoch=lambda epoch, total, row: done.append(epoch))
    assert done == list(range(call // 16 + 1, 4)), "no finished epoch is trained again"
    assert content(tmp_path) == whole("simclr-clean, adam")


@pytest.mark.parametrize("call", range(11))
def test_a_full_disk_at_any_write_leaves_a_run_that_can_go_on(tmp_path, monkeypatch, whole, call):
    """The n-th rename fails: initial snapshot, (snapshot, state) an epoch, encoder, head, history, manifest."""
    left = [call]
    replace = os.replace

    def failing(source, target, **options):
        if not left[0]:
            raise OSError(28, "No space left on device")
        left[0] -= 1
        return replace(source, target, **options)

    monkeypatch.setattr(os, "replace", failing)
    with pytest.raises(OSError, match="No space left"):
        fit(recipe(arm="supervised-dirty"), tmp_path)
    monkeypatch.undo()
    assert not (tmp_path / "manifest.json").exists()
    assert not [p.name for p in tmp_path.rglob(".*")], "nothing half-written"
    fit(recipe(arm="supervised-dirty"), tmp_path)
    assert content(tmp_path) == whole("supervised-dirty, adam")


def test_the_history_of_a_resumed_run_has_every_epoch_once(tmp_path):
    cut_short(tmp_path, 2, arm="supervised-benign")
    rows = []
    fit(recipe(arm="supervised-benign"), tmp_path, on_epoch=lambda done, total, row: rows.append((done, total)))
    assert rows == [(3, 3)]
    lines = (tmp_path / "history.csv").read_text().splitlines()
    assert [line.split(",")[0] for line in lines] == ["epoch", "1", "2", "3"]


def test_time_spent_before_the_interruption_counts(tmp_path):
    def slow(done, total, row):
        if done == 1:
            time.sleep(0.3)
        if done == 2:
            raise Stop

    with pytest.raises(Stop):
        fit(recipe(arm="supervised-benign"), tmp_path, on_epoch=slow)
    fit(recipe(arm="supervised-benign"), tmp_path)
    assert load_checkpoint(tmp_path).manifest["seconds"]["wall"] > 0.3


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
    fit(Recipe(**recipe), out, start=start if recipe["arm"] == "badencoder" else None, device="cpu")

start = sys.argv[1]
warm = json.loads(sys.stdin.readline())
with tempfile.TemporaryDirectory() as folder:  # what is imported on first use is imported here, once
    fit(Recipe(**warm), folder, device="cpu")
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
    process.stdin.write(json.dumps(TINY | {"epochs": 1}) + "\n")

    def run(out: Path, changes: dict, **job) -> int:
        process.stdin.write(json.dumps({"out": str(out), "recipe": TINY | changes} | job) + "\n")
        process.stdin.flush()
        return int(process.stdout.readline())

    yield run
    process.stdin.close()
    process.wait(30)


def kept(folder: Path) -> dict[str, str]:
    """The content but for temporary files, whose names begin with a dot."""
    return {name: digest for name, digest in content(folder).items() if not Path(name).name.startswith(".")}


@pytest.mark.parametrize("name", [name for name in RUNS if name not in ("supervised-dirty, adam", "supcon-clean, sgd")])
def test_a_run_killed_at_random_moments_ends_with_the_same_bits(tmp_path, killer, whole, name):
    moments = random.Random(name)
    ends = []
    # From the first milliseconds on, then wherever it happens to be. Each goes on from where the last one died.
    for delay in [0.0, 0.005, 0.02, *(moments.uniform(0.02, 0.3) for _ in range(9))]:
        ends.append(killer(tmp_path, RUNS[name], delay=delay))
        assert ends[-1] in (0, -signal.SIGKILL)
    assert ends.count(-signal.SIGKILL) >= 3
    assert killer(tmp_path, RUNS[name]) == 0
    assert kept(tmp_path) == whole(name)


@pytest.mark.parametrize(("number", "before"), [*((n, True) for n in range(11)), (10, False)])
def test_a_run_killed_at_any_rename_ends_with_the_same_bits(tmp_path, killer, whole, number, before):
    """Renames: initial snapshot, (snapshot, state) an epoch, encoder, head, history, manifest; and after the last."""
    name = "supervised-dirty, sgd"
    assert killer(tmp_path, RUNS[name], number=number, before=before) == -signal.SIGKILL
    assert (tmp_path / "manifest.json").exists() == (number == 10 and not before)
    fit(recipe(**RUNS[name]), tmp_path)
    assert kept(tmp_path) == whole(name)


def test_what_a_kill_left_half_written_is_cleared_away(tmp_path, killer):
    name = "supervised-dirty, sgd"
    assert killer(tmp_path, RUNS[name], number=2, before=True) == -signal.SIGKILL
    assert list(tmp_path.rglob(".*")), "this test needs a temporary file to be there"
    fit(recipe(**RUNS[name]), tmp_path)
    assert not [p.name for p in tmp_path.rglob(".*")]


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


@pytest.mark.parametrize("identity", [None, [], "x", 3, {}, {"recipe": None}, {"recipe": [1]}])
def test_a_finished_folder_with_a_damaged_identity_is_refused(tmp_path, finished, identity):
    folder = Path(shutil.copytree(finished, tmp_path / "run"))
    manifest = json.loads((folder / "manifest.json").read_text())
    (folder / "manifest.json").write_text(json.dumps(manifest | {"identity": identity}))
    with pytest.raises(InputError) as caught:
        fit(recipe(**ASKED["finished"]), folder)
    assert "\n" not in str(caught.value)


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
@pytest.mark.parametrize("field", OTHER)
def test_resume_into_the_wrong_run(request, field, state):
    """Defect seen elsewhere: resume into the wrong run because seed or augmentation was not in the match."""
    folder = request.getfixturevalue(state)
    asked = ASKED[state]
    before = content(folder)
    old, new = getattr(recipe(**asked), field), OTHER[field]
    with pytest.raises(InputError, match=rf"out: .* holds another run: .*\b{field} was ") as caught:
        fit(recipe(**asked | {field: new}), folder)
    shown = [list(value) if isinstance(value, tuple) else value for value in (old, new)]
    assert f"{field} was {shown[0]!r} and is {shown[1]!r}" in str(caught.value)
    assert "\n" not in str(caught.value)
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
    return cut_short(tmp_path_factory.mktemp("nearly"), 3, arm="supervised-benign")


@pytest.fixture
def state(tmp_path, nearly):
    return Path(shutil.copytree(nearly, tmp_path / "run"))


@pytest.mark.parametrize("share", [0, 0.001, 0.1, 0.5, 0.9, 0.99, 0.9999])
def test_a_truncated_state_is_refused(state, share):
    data = (state / "resume.pt").read_bytes()
    damaged(state, data[: int(share * len(data))])


@pytest.mark.parametrize(
    "data",
    [
        b"",
        b"\0",
        b"x" * 1000,
        b"PK\x03\x04",
        b"PK\x05\x06" + b"\0" * 18,
        random.Random(0).randbytes(500),
        b"\x80\x02}q\x00.",
    ],
    ids=lambda data: repr(data[:12]),
)
def test_what_is_no_state_is_refused(state, data):
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
        cut_short(tmp_path_factory.mktemp("values"), 3, arm="supervised-benign")
    return saved[-1]


PARTS = ("identity", "epoch", "history", "spent", "encoder", "objective", "optimiser", "scaler")


def test_the_state_has_the_parts_that_are_damaged_below(values):
    assert set(values) == set(PARTS)


@pytest.mark.parametrize("value", [None, 3, [], {}, "text", torch.zeros(3), {"epoch": 1}, [{"identity": 1}]])
def test_a_state_of_another_kind_is_refused(state, value):
    damaged(state, as_bytes(value))


@pytest.mark.parametrize("part", PARTS)
def test_a_state_without_one_of_its_parts_is_refused(state, values, part):
    damaged(state, as_bytes({name: value for name, value in values.items() if name != part}))


@pytest.mark.parametrize(
    ("part", "value"),
    [
        *((part, None) for part in PARTS),
        *((part, {}) for part in PARTS if part not in ("identity", "scaler")),  # without a scaler its state is empty
        ("identity", "x"),
        ("identity", []),
        ("epoch", "x"),
        ("epoch", -1),
        ("epoch", 1000),
        ("history", []),
        ("history", "x"),
    ],
    ids=repr,
)
def test_a_state_with_a_part_of_another_type_is_refused(state, values, part, value):
    """A readable file whose content is wrong, as another release would write it."""
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


# --- folders that were used before


def test_snapshots_of_an_earlier_run_do_not_stay(tmp_path):
    """As the message about a damaged state says, it was removed; the shorter run must not inherit its snapshots."""
    cut_short(tmp_path, 4, arm="supervised-benign", epochs=5, width=5)
    (tmp_path / "resume.pt").unlink()
    fit(recipe(arm="supervised-benign", epochs=2), tmp_path)
    names = sorted(p.name for p in (tmp_path / "snapshots").iterdir())
    assert names == [f"epoch-000{i}.safetensors" for i in (0, 1, 2)]
