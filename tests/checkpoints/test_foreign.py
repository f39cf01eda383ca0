"""Checkpoints as others write them load by name and give the features that their writers get; the rest is refused."""

import argparse

import numpy as np
import pytest
import torch
import torchvision
from intertwine.checkpoints import convert, load_encoder
from intertwine.checkpoints.architectures import by_name, outline
from intertwine.checkpoints.foreign import load_foreign
from intertwine.representations import capture
from intertwine.representations.errors import InputError
from torch import nn

from tests.factories import case, images, rand, stream

IMAGES = images(3, 32)


def trained(module: nn.Module, channels: int = 3) -> nn.Module:
    """With affines that no initialisation has and statistics of images: the last features are alive."""
    g = stream(1)
    with torch.no_grad():
        for m in module.modules():
            if isinstance(m, nn.BatchNorm2d):
                m.weight.copy_(0.5 + torch.rand(m.num_features, generator=g))
                m.bias.copy_(0.2 * torch.randn(m.num_features, generator=g))
                m.momentum = 1.0
        module.train()(rand(2, 8, channels, 32, 32, low=-2, high=2))
    return module.eval()


def resnet18(stem=7, padding=1, classes=10):
    model = torchvision.models.resnet18(num_classes=classes)
    if stem == 3:
        model.conv1 = nn.Conv2d(3, 64, 3, padding=padding, bias=False)
        model.maxpool = nn.Identity()
    return trained(model)


def headless(model, head="fc"):
    setattr(model, head, nn.Identity())
    return model


def saved(tmp_path, payload, name="a.pth"):
    torch.save(payload, tmp_path / name)
    return tmp_path / name


def prefixed(state, prefix):
    return {prefix + k: v for k, v in state.items()}


def same_features(loaded, model):
    mean, std = (torch.tensor(v).view(1, 3, 1, 1) for v in (loaded.mean, loaded.std))
    with torch.inference_mode():
        expected = model((IMAGES.float() / 255 - mean) / std)
    assert (expected.std(0) > 1e-3 * expected.abs().max()).float().mean() > 0.5, "or any network has these features"
    found = capture(loaded.encoder, IMAGES, layers=["features"])["features"]
    torch.testing.assert_close(found, expected, atol=1e-5 * float(expected.abs().max()), rtol=1e-5)
    assert loaded.dim == expected.shape[1]
    return True


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


def test_moco_and_simsiam(tmp_path):
    model, key = resnet18(classes=128), resnet18(classes=128)
    state = prefixed(model.state_dict(), "module.encoder_q.") | prefixed(key.state_dict(), "module.encoder_k.")
    state |= {"module.queue": torch.randn(128, 16), "module.queue_ptr": torch.zeros(1, dtype=torch.int64)}
    loaded = load_foreign(saved(tmp_path, {"epoch": 200, "arch": "resnet18", "state_dict": state}))
    assert loaded.format == "MoCo"
    assert {"module.queue", "module.encoder_k.conv1.weight", "fc.weight"} <= set(loaded.dropped)
    state = prefixed(model.state_dict(), "module.encoder.") | {"module.predictor.0.weight": torch.randn(4, 4)}
    other = load_foreign(saved(tmp_path, {"state_dict": state, "optimizer": {}}))
    assert other.format == "SimSiam"
    assert same_features(loaded, headless(model))
    assert same_features(other, model)


def test_solo_learn_pads_its_stem_by_two(tmp_path):
    model = headless(resnet18(stem=3, padding=2))
    state = prefixed(model.state_dict(), "backbone.") | prefixed(nn.Linear(512, 4).state_dict(), "projector.0.")
    payload = {
        "state_dict": state | prefixed(nn.Linear(512, 10).state_dict(), "classifier."),
        "pytorch-lightning_version": "2.1.2",
        "hyper_parameters": argparse.Namespace(method="simclr", data={"dataset": "cifar10"}),
    }
    loaded = load_foreign(saved(tmp_path, payload, "last.ckpt"))
    assert (loaded.format, loaded.arch) == ("solo-learn", "resnet18-cifar-pad2")
    assert same_features(loaded, model)


@pytest.mark.parametrize("small", [pytest.param(True, marks=pytest.mark.parity), False])
def test_lightly_numbers_the_children(tmp_path, small):
    """Taken apart as its examples do; its generator for CIFAR has its ReLU in a function, which is lost."""
    if small:
        import lightly.models as lightly

        parts = list(trained(lightly.ResNetGenerator("resnet-18")).children())[:-1]
        backbone = nn.Sequential(*parts, nn.AdaptiveAvgPool2d(1), nn.Flatten())
    else:
        backbone = nn.Sequential(*list(resnet18().children())[:-1], nn.Flatten())
    state = prefixed(backbone.eval().state_dict(), "backbone.")
    for head in ("projection_head.layers.0.weight", "prototypes.heads.0.weight"):
        state[head] = torch.randn(4, 512)
        loaded = load_foreign(saved(tmp_path, {"state_dict": state, "pytorch-lightning_version": "2.1"}))
        assert loaded.format == "lightly"
        assert loaded.arch == ("resnet18-cifar-norelu" if small else "resnet18")
        assert same_features(loaded, backbone)
    assert same_features(load_foreign(saved(tmp_path, state)), backbone), "without Lightning"


def test_what_is_not_solo_learn_has_no_padded_stem(tmp_path):
    model = headless(resnet18(stem=3))
    state = prefixed(model.state_dict(), "backbone.") | prefixed(nn.Linear(512, 10).state_dict(), "classifier.")
    loaded = load_foreign(saved(tmp_path, {"state_dict": state, "pytorch-lightning_version": "2.1.2"}))
    assert loaded.arch == "resnet18-cifar"
    assert same_features(loaded, model)


def test_mocos_transformer_has_twelve_heads(tmp_path):
    timm = pytest.importorskip("timm")
    model = timm.create_model("vit_small_patch16_224", num_heads=12, num_classes=0).eval()
    state = prefixed(model.state_dict(), "module.base_encoder.") | {"module.base_encoder.head.0.weight": torch.ones(3)}
    loaded = load_foreign(saved(tmp_path, {"state_dict": state, "arch": "vit_small"}))
    assert (loaded.format, loaded.arch) == ("MoCo", "moco-v3-vit-small")
    assert loaded.mean == (0.485, 0.456, 0.406)
    image = torch.full((1, 3, 224, 224), 100, dtype=torch.uint8)
    mean, std = (torch.tensor(v).view(1, 3, 1, 1) for v in (loaded.mean, loaded.std))
    with torch.inference_mode():
        expected = model((image.float() / 255 - mean) / std)
        torch.testing.assert_close(loaded.encoder(image), expected, atol=1e-5, rtol=1e-5)


def test_byol_in_ctrl_calls_its_projector_as_moco_calls_its_encoder(tmp_path):
    model = headless(resnet18(stem=3))
    state = prefixed(model.state_dict(), "backbone.") | prefixed(nn.Linear(512, 8).state_dict(), "encoder_q.0.")
    loaded = load_foreign(saved(tmp_path, {"state_dict": state}))
    assert loaded.format == "SSL-Backdoor or CTRL"
    assert same_features(loaded, model)
    state = prefixed(model.state_dict(), "encoder.") | prefixed(nn.Linear(512, 8).state_dict(), "projector.0.")
    assert same_features(load_foreign(saved(tmp_path, {"state_dict": state})), model)


def test_taps_whose_channels_come_last_are_not_offered():
    from intertwine.checkpoints.architectures import by_name

    assert by_name("swin_t").layer_modules == {}
    assert by_name("vgg11_bn").layer_modules


def test_ctrl_calls_its_shortcuts_so(tmp_path):
    model = headless(resnet18(stem=3))
    named = {k.replace(".downsample.", ".shortcut."): v for k, v in model.state_dict().items()}
    state = prefixed(named, "backbone.") | {"proj.0.weight": torch.randn(4, 4)}
    loaded = load_foreign(saved(tmp_path, {"epoch": 800, "state_dict": state, "optimizer": {}}, "last.pth.tar"))
    assert (loaded.format, loaded.arch) == ("SSL-Backdoor or CTRL", "resnet18-cifar")
    assert same_features(loaded, model)


def test_backdoorbench_says_its_architecture(tmp_path):
    from intertwine.checkpoints.preact import PreActBlock, PreActResNet

    model = trained(PreActResNet(PreActBlock, (2, 2, 2, 2)))
    state = dict(model.state_dict()) | {"linear.weight": torch.randn(10, 512), "linear.bias": torch.randn(10)}
    payload = {"model_name": "preactresnet18", "num_classes": 10, "model": state, "bd_train": {"x": "path"}}
    loaded = load_foreign(saved(tmp_path, payload, "attack_result.pt"))
    assert (loaded.format, loaded.arch, loaded.image_size) == ("BackdoorBench", "preactresnet18", 32)
    sized = load_foreign(saved(tmp_path, payload | {"img_size": (64, 64, 3)}))
    assert sized.image_size == 64
    plain = payload | {"model_name": "resnet18", "model": resnet18(stem=3).state_dict(), "img_size": (32, 32, 3)}
    assert load_foreign(saved(tmp_path, plain)).arch == "resnet18-cifar"
    assert loaded.dropped == ("linear.weight", "linear.bias")
    assert same_features(loaded, model)
    # A name that it does not offer is not built on the file's word: this one has 145 million weights.
    vgg = {"features.0.weight": torch.randn(4, 3, 3, 3)}
    with pytest.raises(
        InputError, match="arch: expected its name, because the weights are not those of a plain ResNet"
    ):
        load_foreign(saved(tmp_path, payload | {"model_name": "regnet_y_32gf", "model": vgg}))


def test_backdoorbench_resizes_before_its_transformers(tmp_path):
    from torchvision.transforms import Resize

    torch.manual_seed(0)
    vit = torchvision.models.vit_b_16(num_classes=10).eval()
    original = nn.Sequential(Resize((224, 224)), vit)
    payload = {"model_name": "vit_b_16", "num_classes": 10, "img_size": (32, 32, 3), "model": original.state_dict()}
    loaded = load_foreign(saved(tmp_path, payload, "attack_result.pt"), mean=(0, 0, 0), std=(1, 1, 1))
    assert (loaded.arch, loaded.image_size, loaded.resize, loaded.dim) == ("vit_b_16", 32, 224, 768)
    assert loaded.lines()[-1].endswith("32 pixels a side, resized to 224 in the network")
    assert loaded.dropped == ("heads.head.weight", "heads.head.bias")
    vit.heads = nn.Identity()
    with torch.inference_mode():
        np.testing.assert_allclose(loaded.encoder(IMAGES / 255), original(IMAGES / 255), atol=1e-5)
    assert loaded.encoder.layers[0] == "encoder_layer_0"


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


# Two draw their weights for half a minute; RegNets cannot be built without memory, and one stands for all.
LARGE = ("googlenet", "inception_v3", *(n for n in torchvision.models.list_models() if n.startswith("regnet_")))
CLASSIFIERS = [*sorted({*torchvision.models.list_models(module=torchvision.models)} - {*LARGE}), "regnet_y_400mf"]
FAMILIES = (
    *("alexnet", "convnext_tiny", "densenet121", "efficientnet_b0", "efficientnet_v2_s", "maxvit_t", "mnasnet0_5"),
    *("mobilenet_v2", "mobilenet_v3_small", "regnet_y_400mf", "resnet18", "resnet50", "resnext50_32x4d", "vgg11"),
    *("shufflenet_v2_x0_5", "squeezenet1_0", "swin_t", "swin_v2_t", "vgg11_bn", "vit_b_16", "wide_resnet50_2"),
)


def has_features(name: str) -> None:
    known = by_name(name)
    module = outline(known.build).eval()
    device = next(module.parameters()).device
    assert device.type == ("cpu" if name.startswith("regnet") else "meta")
    with torch.inference_mode():
        assert module(torch.zeros(2, 3, known.image_size, known.image_size, device=device)).ndim == 2


def test_every_family_of_torchvision_has_features_by_name():
    assert {*FAMILIES} < {*CLASSIFIERS}
    for name in FAMILIES:
        with case(name):
            has_features(name)


@pytest.mark.slow
def test_every_size_of_a_family_has_features_by_name():
    for name in CLASSIFIERS:
        with case(name):
            has_features(name)


@pytest.mark.parametrize("name", ["convnext_tiny", "regnet_y_400mf"])
def test_features_before_the_last_layer(tmp_path, name):
    torch.manual_seed(0)
    model = torchvision.models.get_model(name, num_classes=3).eval()
    path = tmp_path / "mine.pth"
    torch.save(model.state_dict(), path)
    loaded = load_foreign(path, arch=name, image_size=64, mean=(0, 0, 0), std=(1, 1, 1))
    last = model.classifier if name.startswith("convnext") else nn.ModuleList([model.fc])
    seen = {}
    last[-1].register_forward_pre_hook(lambda module, inputs: seen.update(features=inputs[0]))
    x = rand(1, 2, 3, 64, 64)
    with torch.inference_mode():
        model(x)
        np.testing.assert_allclose(loaded.encoder(x), seen["features"], atol=1e-5)


def test_the_pre_activation_block_by_hand():
    from intertwine.checkpoints.preact import PreActBlock

    block = trained(PreActBlock(4, 6, 2), 4)
    x = torch.randn(2, 4, 8, 8)
    active = torch.relu(block.bn1(x))
    inner = block.conv2(torch.relu(block.bn2(block.conv1(active))))
    torch.testing.assert_close(block(x), inner + block.shortcut(active))
    plain = trained(PreActBlock(4, 4, 1), 4)
    inner = plain.conv2(torch.relu(plain.bn2(plain.conv1(torch.relu(plain.bn1(x))))))
    torch.testing.assert_close(plain(x), inner + x)


def test_data_parallel_and_compiled_names(tmp_path):
    model = resnet18()
    state = prefixed(model.state_dict(), "module._orig_mod.")
    assert same_features(load_foreign(saved(tmp_path, {"model_state_dict": state})), headless(model))


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
    with pytest.raises(InputError, match=r"std: expected three positive numbers, received \(0\.0, 1\.0, 1\.0\)"):
        load_foreign(saved(tmp_path, resnet18().state_dict()), std=(0.0, 1.0, 1.0))
    with pytest.raises(InputError, match="image_size: expected 8 to 1024 pixels, received 4"):
        load_foreign(saved(tmp_path, resnet18().state_dict()), image_size=4)
