"""Networks and files as others write them."""

import torch
import torchvision
from intertwine.representations import capture
from torch import nn

from tests.factories import images, rand, stream

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
