"""A converted checkpoint is the encoder that it was, and cannot be mistaken for another."""

import json
import shutil

import pytest
import torch
import torchvision
from intertwine.checkpoints import convert, load_encoder
from intertwine.checkpoints.converted import load_any
from intertwine.representations import capture
from intertwine.representations.errors import InputError
from torch import nn

from tests.factories import case, images

IMAGES = images(3, 32)


@pytest.fixture(scope="module")
def original(tmp_path_factory):
    torch.manual_seed(0)
    model = torchvision.models.resnet18(num_classes=10)
    model.conv1, model.maxpool = nn.Conv2d(3, 64, 3, padding=2, bias=False), nn.Identity()
    state = {f"backbone.{k}": v for k, v in model.state_dict().items()} | {
        "classifier.weight": torch.randn(10, 512),
        "projector.0.weight": torch.randn(8, 512),
    }
    path = tmp_path_factory.mktemp("original") / "last.ckpt"
    torch.save({"state_dict": state, "pytorch-lightning_version": "2.0"}, path)
    return path


def features(encoder):
    return capture(encoder, IMAGES, layers=["layer2", "features"])


def test_it_gives_the_features_of_the_original(original, tmp_path):
    loaded, written = convert(original, tmp_path / "mine", mean=(0.5, 0.4, 0.3), std=(0.2, 0.2, 0.3))
    assert [path.name for path in written] == ["encoder.safetensors", "encoder.json"]
    about = json.loads(written[1].read_text())
    assert about["arch"] == "resnet18-cifar-pad2"
    assert about["from"]["format"] == "solo-learn"
    again = load_any(tmp_path / "mine")
    assert (again.format, again.mean, again.std, again.image_size) == ("converted", loaded.mean, loaded.std, 32)
    first, second = features(loaded.encoder), features(load_encoder(tmp_path / "mine"))
    for layer, expected in first.items():
        assert torch.equal(second[layer], expected)
        assert (expected.std(0) > 0).any(), "or the network is dead"
    other = load_any(tmp_path / "mine", mean=(0.0, 0.0, 0.0))
    assert other.mean == (0.0, 0.0, 0.0), "what is given goes before what the folder says"


def test_timm_and_plain_resnets_say_their_names(tmp_path):
    torch.save(torchvision.models.resnet18(num_classes=3).state_dict(), tmp_path / "a.pth")
    for arch, name in ((None, "resnet18"), ("timm:resnet18", "timm:resnet18")):
        out = tmp_path / name.replace(":", "-")
        loaded, _ = convert(tmp_path / "a.pth", out, arch=arch, image_size=32)
        assert loaded.arch == name
        assert load_encoder(out).layers == loaded.encoder.layers
        assert torch.equal(features(load_encoder(out))["features"], features(loaded.encoder)["features"])


def test_nothing_is_written_over(original, tmp_path):
    convert(original, tmp_path / "mine")
    before = (tmp_path / "mine" / "encoder.json").read_bytes()
    with pytest.raises(InputError, match="out: expected a folder without a checkpoint, received"):
        convert(original, tmp_path / "mine")
    assert (tmp_path / "mine" / "encoder.json").read_bytes() == before
    (tmp_path / "bad.pth").write_bytes(b"nothing")
    with pytest.raises(InputError, match="received neither"):
        convert(tmp_path / "bad.pth", tmp_path / "other")
    assert not (tmp_path / "other").exists()
    (tmp_path / "mine" / "encoder.json").unlink()
    with pytest.raises(InputError, match="out: expected a folder without a checkpoint"):
        convert(tmp_path / "mine" / "encoder.safetensors", tmp_path / "mine", arch="resnet18-cifar-pad2")


def test_the_choice_of_tokens_is_kept(tmp_path):
    timm = pytest.importorskip("timm")
    torch.save(timm.create_model("test_vit", num_classes=2).state_dict(), tmp_path / "vit.pth")
    convert(tmp_path / "vit.pth", tmp_path / "mine", arch="timm:test_vit", tokens="mean")
    assert load_any(tmp_path / "mine", tokens=None).encoder.tokens == "mean"


def test_a_changed_folder_is_refused(original, tmp_path):
    convert(original, tmp_path / "mine")
    path = tmp_path / "mine" / "encoder.json"
    about = json.loads(path.read_text())
    for change, message in (
        ({"format": 9}, "expected format 1"),
        ({"arch": 3}, "expected arch as str, received 3"),
        ({"mean": [0.5, 0.5]}, r"expected mean as list, received \[0\.5, 0\.5\]"),
        ({"std": [1, 1, "one"]}, "expected std as list"),
        ({"sha256": "../../etc/passwd"}, "expected a SHA-256"),
        ({"image_size": None}, "expected image_size as int, received None"),
        ({"sha256": "0" * 64}, "is corrupted: its SHA-256 differs"),
        ({"arch": "resnet50"}, "expected the weights of resnet50, received"),
        ({"tokens": "all"}, "tokens: expected 'cls' or 'mean', received 'all'"),
    ):
        with case(message):
            path.write_text(json.dumps(about | change))
            with pytest.raises(InputError, match=message):
                load_encoder(path.parent)


def test_damage_is_refused(original, tmp_path):
    convert(original, tmp_path / "mine")
    for name, content in (("encoder.json", b"{"), ("encoder.safetensors", b"")):
        shutil.copytree(tmp_path / "mine", tmp_path / name)
        (tmp_path / name / name).write_bytes(content)
        with pytest.raises(InputError, match="is corrupted"):
            load_encoder(tmp_path / name)
