"""Every format by its own names: the encoder is found in it, and its features are those of its writer."""

import argparse

import numpy as np
import pytest
import torch
import torchvision
from intertwine.checkpoints.foreign import load_foreign
from intertwine.representations.errors import InputError
from torch import nn

from tests.checkpoints.foreign_files import IMAGES, headless, prefixed, resnet18, same_features, saved, trained


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


def test_data_parallel_and_compiled_names(tmp_path):
    model = resnet18()
    state = prefixed(model.state_dict(), "module._orig_mod.")
    assert same_features(load_foreign(saved(tmp_path, {"model_state_dict": state})), headless(model))
