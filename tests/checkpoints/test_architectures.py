"""Architectures by name give features before their last layer."""

import numpy as np
import pytest
import torch
import torchvision
from intertwine.checkpoints.architectures import by_name, outline
from intertwine.checkpoints.foreign import load_foreign
from torch import nn

from tests.checkpoints.foreign_files import trained
from tests.factories import case, rand


def test_taps_whose_channels_come_last_are_not_offered():
    from intertwine.checkpoints.architectures import by_name

    assert by_name("swin_t").layer_modules == {}
    assert by_name("vgg11_bn").layer_modules


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
