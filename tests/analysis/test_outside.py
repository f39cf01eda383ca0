"""Anyone's encoder, images and trigger, from one command."""

import shutil

import numpy as np
import pytest
import torch
import torchvision
from intertwine.analysis.results.table import read_rows
from intertwine.analysis.runs import foreign_encoder as outside
from intertwine.analysis.runs.foreign_encoder import bench, measure_checkpoint, verdict_line
from intertwine.analysis.runs.run import load_run
from intertwine.representations.errors import InputError
from PIL import Image
from torch import nn

FEW = {"readings": {"readings": "cheap", "most": 100, "most_bank": 100}, "device": "cpu"}


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


def measured(mine, tmp_path, **more):
    settings = {
        "data": f"imagefolder:{mine / 'images'}",
        "trigger": f"patch:{mine / 'trigger.png'}",
        "target": "cat",
        "foreign": {"image_size": 16},
        "out": tmp_path / "out",
    }
    return measure_checkpoint(more.pop("path", mine / "my.pth"), more.pop("benign", None), **FEW | settings | more)


def test_an_encoder_without_a_backdoor_is_said_to_have_none(mine, tmp_path):
    lines: list[str] = []
    rows, sentence, written = measured(mine, tmp_path, log=lines.append)
    assert sentence.startswith("The trigger does not work: ASR is ")
    assert "that of the same network with random weights" in sentence
    assert "format state dict, architecture resnet18-cifar: 120 tensors loaded by name" in lines[0]
    assert written == [tmp_path / "out" / "rows.csv"]
    found = read_rows(written[0])
    assert set(found["arm"]) == {"outside"}
    assert set(found["run"]) == {"my"}
    own = found[(found["reference"] == "") & found["measure"].isin(["silhouette", "gradient_alignment"])]
    assert set(own["status"]) <= {"not_evaluable", "undefined"}
    assert "benign" not in set(found["reference"])
    assert len(rows) == len(found)


def test_copies_in_another_folder_are_the_same_trigger(mine, tmp_path):
    by_patch, _, _ = measured(mine, tmp_path)
    by_pairs, _, _ = measured(mine, tmp_path, trigger=f"pairs:imagefolder:{mine / 'copies'}")
    both = [
        rows[(rows.reference == "") & (rows.measure != "random-trigger")].set_index(
            ["measure", "layer", "subset", "params"]
        )
        for rows in (by_patch, by_pairs)
    ]
    shared = both[0].index.intersection(both[1].index)
    assert len(shared) > 8
    np.testing.assert_allclose(both[0].loc[shared, "value"], both[1].loc[shared, "value"], rtol=1e-5, equal_nan=True)


def test_a_benign_may_be_a_checkpoint(mine, tmp_path):
    rows, sentence, _ = measured(mine, tmp_path, benign=mine / "my.pth")
    assert "the benign twin's" in sentence
    pairs = rows[(rows.measure == "silhouette") & (rows.subset == "triggered")].set_index("reference")["value"]
    assert pairs[""] == pytest.approx(pairs["benign"]), "it is the same encoder"


def test_a_run_of_ours_on_other_images(small_runs, mine, tmp_path):
    """The usual threat model: poisoned on one data set, used on another; the trigger is the run's own."""
    run = small_runs / "supervised-dirty" / "seed0"
    rows, sentence, written = measure_checkpoint(
        run, probe_data=f"imagefolder:{mine / 'images'}", target="plane", out=tmp_path / "out", **FEW
    )
    assert sentence
    assert written == [tmp_path / "out" / "rows.csv"]
    assert set(rows[rows.measure == "acc"]["layer"]) == {"features"}
    with pytest.raises(InputError, match="target: expected --target, a class of --probe-data, received none"):
        measure_checkpoint(run, probe_data=f"imagefolder:{mine / 'images'}", out=tmp_path / "out", **FEW)


def test_a_run_with_another_trigger_is_measured_on_its_own_held_out_images(small_runs, mine, tmp_path, monkeypatch):
    """Never on images that it was trained on."""
    run, seen = small_runs / "supervised-dirty" / "seed0", []

    def listen(encoder, on, **_):
        seen.append(on)
        raise InputError("enough")

    monkeypatch.setattr(outside, "measure_outside", listen)
    with pytest.raises(InputError, match="enough"):
        measure_checkpoint(run, trigger=f"patch:{mine / 'trigger.png'}", out=tmp_path / "out", **FEW)
    own = load_run(run, device="cpu").experiment
    assert torch.equal(seen[0].test.images, own.test.images)
    assert torch.equal(seen[0].train.images, own.train.images)
    assert seen[0].target == own.plan.target


def test_a_file_under_another_name_is_no_pair(mine, tmp_path):
    shutil.copytree(mine / "copies", tmp_path / "copies")
    (tmp_path / "copies" / "cat" / "1.png").rename(tmp_path / "copies" / "cat" / "zzz.png")
    with pytest.raises(InputError, match=r"the 300 files of .* under the same names .* they differ from 'cat/1' on"):
        measured(mine, tmp_path, trigger=f"pairs:imagefolder:{tmp_path / 'copies'}")


def test_a_transformer_is_measured_with_its_random_reference(mine, tmp_path):
    timm = pytest.importorskip("timm")
    torch.manual_seed(0)
    torch.save(timm.create_model("test_vit", num_classes=3).state_dict(), tmp_path / "vit.pth")
    few = {"readings": ("asr",), "most": 100, "most_bank": 100, "layers": ("features",)}
    rows, _, _ = measured(mine, tmp_path, path=tmp_path / "vit.pth", foreign={"arch": "timm:test_vit"}, readings=few)
    assert "random-init" in set(rows["reference"])


def test_what_is_missing_is_named(mine, tmp_path):
    for name in ("data", "trigger", "target"):
        with pytest.raises(InputError, match=f"{name}: expected --{name} for .*my.pth, received none"):
            measured(mine, tmp_path, **{name: None})
    with pytest.raises(
        InputError, match="target: expected one of bird, cat, plane or its number from 0 to 2, received"
    ):
        measured(mine, tmp_path, target="dog")
    with pytest.raises(InputError, match="which is not there"):
        measured(mine, tmp_path, path=mine / "none.pth")
    with pytest.raises(InputError, match="source: expected imagefolder:PATH with a folder, received 'digits'"):
        measured(mine, tmp_path, trigger="pairs:digits")
    with pytest.raises(InputError, match="probe_data: expected --data or --probe-data for a foreign checkpoint"):
        measured(mine, tmp_path, probe_data="digits")
    assert not (tmp_path / "out").exists()


def test_targets_by_name_and_number(mine):
    arguments = {"source": f"imagefolder:{mine / 'images'}", "trigger": f"patch:{mine / 'trigger.png'}"}
    assert bench(**arguments, target="plane", image_size=16).target == 2
    assert bench(**arguments, target="1", image_size=16).target == 1


def test_the_sentence_needs_a_reference(mine, tmp_path):
    rows, _, _ = measured(mine, tmp_path)
    assert verdict_line(rows[rows.reference == ""]) == ""
    works = rows.copy()
    works.loc[(works.measure == "asr") & (works.reference == ""), "value"] = 0.9
    assert verdict_line(works).startswith("The trigger works: ASR is 0.900")
    assert "No benign twin was given" in verdict_line(works)
    works.loc[(works.measure == "asr") & (works.reference == "random-init"), "value"] = 0.8
    assert verdict_line(works).startswith("It cannot be decided whether the trigger works")
