"""Anyone's encoder, images and trigger, from one call."""

import shutil

import numpy as np
import pytest
import torch
import torchvision
from intertwine.analysis.panel import PanelOptions
from intertwine.analysis.panel.reading_sets import ReadingSet
from intertwine.analysis.results.measures import RATES
from intertwine.analysis.results.table import read_rows
from intertwine.analysis.runs import foreign_encoder
from intertwine.analysis.runs.evaluation_images import evaluation_images
from intertwine.analysis.runs.foreign_encoder import measure_checkpoint, verdict_line
from intertwine.analysis.runs.run import load_run
from intertwine.representations.errors import InputError
from PIL import Image
from torch import nn

from tests.analysis.schema_checks import must_fit_schema
from tests.factories import select


def few(readings="cheap", **more):
    return PanelOptions(readings, images=100, bank=100, **more)


PLACED = ReadingSet(
    frozenset({*RATES, "silhouette", "displacement_cosine"}), references=frozenset({"benign"}), layers=("features",)
)
"""Readings that cost little, beside what decides alone."""


@pytest.fixture(scope="module")
def mine(tmp_path_factory):
    """A CIFAR ResNet-18 with random weights, a folder of three classes, a trigger, and triggered copies."""
    folder, g = tmp_path_factory.mktemp("mine"), np.random.default_rng(0)
    torch.manual_seed(0)
    model = torchvision.models.resnet18(num_classes=3)
    model.conv1 = nn.Conv2d(3, 64, 3, padding=1, bias=False)
    torch.save({"state_dict": model.state_dict()}, folder / "my.pth")
    pattern = g.integers(0, 256, (4, 4, 3), dtype=np.uint8)
    for i in range(300):
        name = ("bird", "cat", "plane")[i % 3]
        image = g.integers(0, 120, (16, 16, 3), dtype=np.uint8)
        image[..., i % 3] += 100
        for root in ("images", "copies"):
            if root == "copies":
                image[-5:-1, -5:-1] = pattern
            (folder / root / name).mkdir(parents=True, exist_ok=True)
            Image.fromarray(image).save(folder / root / name / f"{i}.png")
    Image.fromarray(pattern).save(folder / "trigger.png")
    return folder


def measured(mine, out, **more):
    settings = {
        "data": f"imagefolder:{mine / 'images'}",
        "trigger": f"patch:{mine / 'trigger.png'}",
        "target": "cat",
        "foreign": {"image_size": 16},
        "out": out,
        "device": "cpu",
        "options": few(PLACED),
    }
    return measure_checkpoint(more.pop("path", mine / "my.pth"), more.pop("benign", None), **settings | more)


@pytest.fixture(scope="module")
def by_patch(mine, tmp_path_factory):
    """Rows, sentence, files and log of the encoder with its patch."""
    lines: list[str] = []
    return *measured(mine, tmp_path_factory.mktemp("patch"), log=lines.append), lines


def test_an_encoder_without_a_backdoor_is_said_to_have_none(by_patch, tmp_path):
    rows, sentence, written, lines = by_patch
    assert sentence.startswith("The trigger does not work: ASR by ")
    assert "that of the same network with random weights" in sentence
    assert "format state dict, architecture resnet18-cifar: 120 tensors loaded by name" in lines[0]
    assert [path.name for path in written] == ["rows.csv"]
    found = read_rows(written[0])
    must_fit_schema(rows, tmp_path)
    assert set(found["arm"]) == {"foreign"}
    assert set(found["run"]) == {"my"}
    of_hits = select(found, "silhouette", subset="hits")
    assert set(of_hits["status"]) <= {"too_few_hits", "undefined"}
    assert "benign" not in set(found["reference"])
    assert len(rows) == len(found)


def test_copies_in_another_folder_are_the_same_trigger(mine, by_patch, tmp_path):
    by_pairs, _, _ = measured(mine, tmp_path, trigger=f"pairs:imagefolder:{mine / 'copies'}")
    both = [
        rows[(rows.reference == "") & rows.status.isin(["ok", "too_few_hits"])].set_index(
            ["measure", "layer", "subset", "evaluator"]
        )
        for rows in (by_patch[0], by_pairs)
    ]
    shared = both[0].index.intersection(both[1].index)
    assert len(shared) >= 8
    np.testing.assert_allclose(both[0].loc[shared, "value"], both[1].loc[shared, "value"], rtol=1e-5)


def test_a_benign_twin_may_be_a_checkpoint(mine, tmp_path):
    rows, sentence, _ = measured(mine, tmp_path, benign=mine / "my.pth")
    assert "the benign twin's" in sentence
    pairs = rows[(rows.measure == "silhouette") & (rows.subset == "triggered")].set_index("reference")["value"]
    assert pairs[""] == pytest.approx(pairs["benign"]), "it is the same encoder"
    assert set(rows[rows.reference == "benign"].other_run) == {"my"}


def test_a_run_of_ours_on_other_images(small_runs, mine, tmp_path):
    """The usual threat model: poisoned on one data set, used on another; the trigger is the run's own."""
    run = small_runs / "supervised-dirty" / "seed0"
    other = {"evaluation_data": f"imagefolder:{mine / 'images'}", "out": tmp_path / "out", "device": "cpu"}
    rows, sentence, written = measure_checkpoint(run, target="plane", options=few(PLACED), **other)
    assert sentence
    assert written == [tmp_path / "out" / "rows.csv"]
    assert set(rows[rows.measure == "acc"]["layer"]) == {"features"}
    for change, message in (
        ({}, "target: expected a class of the evaluation data, received none"),
        ({"target": "dog"}, "target: expected one of bird, cat, plane or its number from 0 to 2, received 'dog'"),
        ({"target": "0", "trigger": "pairs:imagefolder:x"}, "trigger: expected pairs for a foreign checkpoint only"),
    ):
        with pytest.raises(InputError, match=message):
            measure_checkpoint(run, options=few(), **other | change)


def test_a_run_with_another_trigger_is_measured_on_its_own_held_out_images(small_runs, mine, tmp_path, monkeypatch):
    """Never on images that it was trained on."""
    run, seen = small_runs / "supervised-dirty" / "seed0", []

    def listen(run, *_):
        seen.append(run)
        raise InputError("enough")

    monkeypatch.setattr(foreign_encoder, "measure_foreign", listen)
    with pytest.raises(InputError, match="enough"):
        measure_checkpoint(run, trigger=f"patch:{mine / 'trigger.png'}", out=tmp_path / "out", device="cpu")
    own = load_run(run, device="cpu").experiment
    assert torch.equal(seen[0].data.images, own.test.images)
    assert torch.equal(seen[0].bank.images, own.train.images)
    assert seen[0].target == own.plan.target


def test_a_file_under_another_name_is_no_pair(mine, tmp_path):
    shutil.copytree(mine / "copies", tmp_path / "copies")
    (tmp_path / "copies" / "cat" / "1.png").rename(tmp_path / "copies" / "cat" / "zzz.png")
    pairs = f"pairs:imagefolder:{tmp_path / 'copies'}"
    with pytest.raises(InputError, match=r"the 300 files of .* under the same names .* they differ from 'cat/1' on"):
        measured(mine, tmp_path, trigger=pairs)
    with pytest.raises(InputError, match="pairs of files that can all be read, received --skip-unreadable"):
        measured(mine, tmp_path, trigger=pairs, skip_unreadable=True)


def test_a_transformer_is_measured_with_its_random_reference(mine, tmp_path):
    timm = pytest.importorskip("timm")
    torch.manual_seed(0)
    torch.save(timm.create_model("test_vit", num_classes=3).state_dict(), tmp_path / "vit.pth")
    options, foreign = few(("asr",), layers=("features",)), {"arch": "timm:test_vit"}
    rows, _, _ = measured(mine, tmp_path, path=tmp_path / "vit.pth", foreign=foreign, options=options)
    assert "random-init" in set(rows["reference"])


def test_what_is_missing_is_named(mine, tmp_path):
    out = tmp_path / "out"
    for change, message in (
        ({"trigger": None}, "trigger: expected one beside target, received none"),
        ({"target": None}, "target: expected one beside trigger, received none"),
        ({"data": None}, "data: expected images to put the trigger on, received none for my"),
        ({"trigger": None, "target": None}, "trigger: expected trigger and target to measure my, received none"),
        ({"data": None, "trigger": None, "target": None}, "data: expected images to measure my on"),
        ({"target": "dog"}, "target: expected one of bird, cat, plane or its number from 0 to 2, received"),
        ({"path": mine / "none.pth"}, "which is not there"),
        ({"trigger": "pairs:digits"}, "source: expected imagefolder:PATH with a folder, received 'digits'"),
        ({"evaluation_data": "digits"}, "evaluation_data: expected it or data for a foreign checkpoi"),
    ):
        with pytest.raises(InputError, match=message):
            measured(mine, out, **change)
    assert not out.exists()


def test_targets_by_name_and_number(mine):
    source, trigger = f"imagefolder:{mine / 'images'}", f"patch:{mine / 'trigger.png'}"
    for target, number in (("plane", 2), ("1", 1)):
        assert evaluation_images(source, trigger, target, image_size=16).target == number


def test_the_sentence_needs_a_reference(by_patch):
    rows = by_patch[0]
    assert verdict_line(rows[rows.reference == ""]) == ""
    works = rows.copy()
    works.loc[select(works, "asr").index, "value"] = 0.9
    assert verdict_line(works).startswith("The trigger works: ASR by kNN is 0.900")
    assert "No benign twin was given" in verdict_line(works)
    by_ridge = works.copy()
    by_ridge.loc[select(works, "asr", evaluator="ridge").index, "value"] = 0.99
    assert verdict_line(by_ridge).startswith("The trigger works: ASR by the ridge probe is 0.990"), "who sees it most"
    works.loc[select(works, "asr", "random-init").index, "value"] = 0.8
    assert verdict_line(works).startswith("It cannot be decided whether the trigger works")
