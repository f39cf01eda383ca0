"""BackdoorBench's pre-activation ResNet (He et al., ECCV 2016), without a normalisation after the last block."""

from collections.abc import Sequence

from torch import Tensor, nn
from torch.nn.functional import relu

__all__ = ["PreActBlock", "PreActResNet"]


class PreActBlock(nn.Module):
    """Two 3×3 convolutions, each after BatchNorm and ReLU; the shortcut starts after the first ReLU."""

    def __init__(self, channels: int, out: int, stride: int) -> None:
        super().__init__()
        self.bn1 = nn.BatchNorm2d(channels)
        self.conv1 = nn.Conv2d(channels, out, 3, stride, padding=1, bias=False)
        self.bn2 = nn.BatchNorm2d(out)
        self.conv2 = nn.Conv2d(out, out, 3, padding=1, bias=False)
        self.shortcut: nn.Module | None = None
        if stride != 1 or channels != out:
            self.shortcut = nn.Sequential(nn.Conv2d(channels, out, 1, stride, bias=False))

    def forward(self, x: Tensor) -> Tensor:
        active = relu(self.bn1(x))
        beside = x if self.shortcut is None else self.shortcut(active)
        return self.conv2(relu(self.bn2(self.conv1(active)))) + beside


class PreActResNet(nn.Module):
    """Normalised float images ``(n, 3, H, W)`` → features ``(n, 512)``."""

    def __init__(self, block: type[PreActBlock], counts: Sequence[int]) -> None:
        super().__init__()
        self.conv1 = nn.Conv2d(3, 64, 3, padding=1, bias=False)
        channels = 64
        for stage, (count, out) in enumerate(zip(counts, (64, 128, 256, 512), strict=True), start=1):
            blocks = []
            for i in range(count):
                blocks.append(block(channels, out, 2 if i == 0 and stage > 1 else 1))
                channels = out
            self.add_module(f"layer{stage}", nn.Sequential(*blocks))
        self.avgpool = nn.AdaptiveAvgPool2d(1)

    def forward(self, x: Tensor) -> Tensor:
        x = self.conv1(x)
        for stage in range(1, 5):
            x = self.get_submodule(f"layer{stage}")(x)
        return self.avgpool(x).flatten(1)
