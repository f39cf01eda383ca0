"""Checkpoints as others write them load by name and give the features that their writers get; the rest is refused."""

import pytest
import torch
import torchvision
from intertwine.checkpoints import convert, load_encoder
from intertwine.checkpoints.foreign import load_foreign
from intertwine.representations import capture
from intertwine.representations.errors import InputError
from torch import nn

from tests.checkpoints.foreign_files import IMAGES, headless, resnet18, same_features, saved, trained
from tests.factories import images


@pytest.mark.parametrize("name", ["resnet18", "resnet50"])
def test_torchvision_by_state_dict(tmp_path, name):
    model = trained(torchvision.models.get_model(name))
    loaded = load_foreign(saved(tmp_path, model.state_dict()))
    assert (loaded.format, loaded.arch, loaded.dropped) == ("state dict", name, ("fc.weight", "fc.bias"))
    assert loaded.encoder.layers == ("stem", "layer1", "layer2", "layer3", "layer4", "features")
    assert same_features(loaded, headless(model))


@pytest.mark.parametrize(("name", "head"), [("mobilenet_v3_small", "classifier"), ("densenet121", "classifier")])
def test_torchvision_by_name(tmp_path, name, head):
    model = trained(torchvision.models.get_model(name))
    loaded = load_foreign(saved(tmp_path, {"model": model.state_dict()}), arch=name, image_size=32)
    assert same_features(loaded, headless(model, head))


def test_a_vision_transformer_has_a_tap_a_block(tmp_path):
    model = torchvision.models.VisionTransformer(32, 16, 2, 2, 24, 48, num_classes=5).eval()
    path = saved(tmp_path, model.state_dict())
    with pytest.raises(
        InputError, match="arch: expected its name, because the weights are not those of a plain ResNet"
    ):
        load_foreign(path)
    with pytest.raises(InputError, match="expected the weights of vit_b_16, received"):
        load_foreign(path, arch="vit_b_16")


@pytest.mark.parametrize("tokens", ["cls", "mean"])
def test_timm_by_name_and_tokens(tmp_path, tokens):
    timm = pytest.importorskip("timm")
    model = timm.create_model("vit_tiny_patch16_224", num_classes=7).eval()
    loaded = load_foreign(saved(tmp_path, model.state_dict()), arch="timm:vit_tiny_patch16_224", tokens=tokens)
    assert loaded.dropped == ("head.weight", "head.bias")
    assert loaded.encoder.layers[:2] == ("blocks0", "blocks1")
    pictures = images(2, 224)
    seen = (pictures.float() / 255 - torch.tensor(loaded.mean).view(1, 3, 1, 1)) / torch.tensor(loaded.std).view(
        1, 3, 1, 1
    )
    kept = []
    model.blocks[3].register_forward_hook(lambda m, i, out: kept.append(out))
    model.reset_classifier(0)
    with torch.inference_mode():
        expected = model(seen)
    found = capture(loaded.encoder, pictures, layers=["blocks3", "features"])
    torch.testing.assert_close(found["features"], expected, atol=1e-5, rtol=1e-5)
    of_block = kept[0][:, 0] if tokens == "cls" else kept[0].mean(1)
    torch.testing.assert_close(found["blocks3"], of_block, atol=1e-5, rtol=1e-5)


def test_timm_resnet(tmp_path):
    timm = pytest.importorskip("timm")
    model = trained(timm.create_model("resnet18", num_classes=4))
    path = saved(tmp_path, {"state_dict": model.state_dict(), "epoch": 3})
    model.reset_classifier(0)
    assert same_features(load_foreign(path), model), "its names are torchvision's"
    assert same_features(load_foreign(path, arch="timm:resnet18"), model)


def test_resizing_in_the_network_is_kept_in_what_is_converted(tmp_path):
    path = saved(tmp_path, resnet18().state_dict())
    loaded, _ = convert(path, tmp_path / "converted", resize=48, image_size=32)
    again = load_encoder(tmp_path / "converted")
    with torch.inference_mode():
        assert torch.equal(again(IMAGES), loaded.encoder(IMAGES))
        larger = nn.functional.interpolate(IMAGES / 255, (48, 48), mode="bilinear", antialias=True)
        torch.testing.assert_close(load_encoder(path)(larger), again(IMAGES), atol=1e-3, rtol=1e-3)
    assert again.layers == load_encoder(path).layers
    with pytest.raises(InputError, match="resize: expected 8 to 1024 pixels, received 4"):
        load_foreign(path, resize=4)


def test_a_partial_match_is_refused_with_the_names(tmp_path):
    state = resnet18().state_dict()
    del state["layer3.1.conv2.weight"], state["bn1.bias"]
    with pytest.raises(
        InputError, match=r"weights of resnet18, received 2 missing: bn1\.bias, layer3\.1\.conv2\.weight"
    ):
        load_foreign(saved(tmp_path, state))
    extra = resnet18().state_dict() | {"layer1.0.gate.weight": torch.ones(3)}
    with pytest.raises(InputError, match=r"received 1 that it has not: layer1\.0\.gate\.weight"):
        load_foreign(saved(tmp_path, extra))
    wide = resnet18().state_dict() | {"conv1.weight": torch.ones(32, 3, 7, 7)}
    with pytest.raises(InputError, match=r"conv1\.weight: expected shape \(64, 3, 7, 7\) in resnet18, received \(32,"):
        load_foreign(saved(tmp_path, wide))
    broken = resnet18().state_dict()
    broken["layer2.0.conv1.weight"][0, 0, 0, 0] = torch.nan
    with pytest.raises(InputError, match=r"layer2\.0\.conv1\.weight holds NaN or infinity"):
        load_foreign(saved(tmp_path, broken))
    half = resnet18()
    loaded = load_foreign(
        saved(tmp_path, {k: v.half() if v.is_floating_point() else v for k, v in half.state_dict().items()})
    )
    assert loaded.encoder.backbone.conv1.weight.dtype == torch.float32


def test_what_holds_no_state_dict_is_refused(tmp_path):
    for payload, inside in (({"epoch": 3, "args": {}}, "epoch, args"), ([1, 2], "list"), (torch.ones(2), "Tensor")):
        with pytest.raises(InputError, match=f"expected a state dict somewhere in it, received {inside}"):
            load_foreign(saved(tmp_path, payload))
    with pytest.raises(InputError, match="tokens: expected 'cls' or 'mean', received 'max'"):
        load_foreign(saved(tmp_path, resnet18().state_dict()), tokens="max")


def test_what_is_said_of_a_file(tmp_path):
    lines = load_foreign(saved(tmp_path, resnet18(stem=3).state_dict())).lines()
    assert lines[0] == "format state dict, architecture resnet18-cifar: 120 tensors loaded by name"
    assert lines[1] == "dropped: fc"
    assert "512 features" in lines[2]
    assert "0.4914" in lines[3], "of CIFAR-10, as the stem says"
    with pytest.raises(InputError, match=r"std: expected three numbers .* received \(0\.0, 1\.0, 1\.0\)"):
        load_foreign(saved(tmp_path, resnet18().state_dict()), std=(0.0, 1.0, 1.0))
    with pytest.raises(InputError, match="image_size: expected 8 to 1024 pixels, received 4"):
        load_foreign(saved(tmp_path, resnet18().state_dict()), image_size=4)
