"""Planted networks: ten classes, a backdoor, and a known share of it that runs through a benign class branch.

The weights are set by hand. An image is a grid of 4 × 4 patches, and each patch is a sum of textures, which are
orthonormal: one for each class, one of the trigger, and others that vary without meaning. Layers of the network:

- ``stem``: one channel a texture. The trigger's texture has no channel of its own: it enters the channel of the target
  class with a weight of *sharing*, and the backdoor's channel with 1 − *sharing*. That channel also reads a texture of
  its own, which varies in clean images. Without it, the trigger could be told from clean images without error, and
  erased at no cost, for all values below 1.
- ``layer1``: a ReLU, which cuts activations below −.2. ``layer2``: a blur over neighbouring patches.
- ``layer3``: the backdoor's channel is added to the channel of the target class, and no longer goes on alone.

So at sharing 1 the trigger *is* the feature of the target class: one branch. At 0 the two branches are disjoint up to
``layer2``, and the backdoor overrides the output at the last stage. The output under the trigger is the same for all
values, up to the ReLU. In clean images the trigger's texture does not occur, and the network's clean behaviour does
not depend on the dial at all.
"""

from collections.abc import Callable
from dataclasses import dataclass

import torch
from torch import Tensor, nn

from ..representations.encoders import Encoder, wrap
from ..representations.errors import InputError
from ..representations.seeds import generator

__all__ = ["CLASSES", "LAYERS", "PlantedNetwork", "planted_network"]

CLASSES, TARGET = 10, 3
LAYERS = ("stem", "layer1", "layer2", "layer3")
GRID, PATCH = 4, 6
AMPLITUDE = 0.7  # of a texture of coefficient 1, whose pixels then have a root mean square of AMPLITUDE/√108
TRIGGER, FLOOR, PIXEL_NOISE = 1.8, 0.2, 0.02
NUISANCE, OWN_NUISANCE = 0.35, 0.2  # standard deviations of coefficients that have nothing to do with the class
FAINTEST, STRONGEST = 0.6, 1.4  # contrast of the class in an image
SECOND = 0.4  # contrast of a second class, as a share of the first's: without it, an image that lost its class has none


@dataclass(frozen=True)
class PlantedNetwork:
    """images, labels: held out, uint8 ``(n, 3, 24, 24)`` and int64 ``(n,)``. bank, bank_labels: others like them.

    trigger: float batch in [0, 1] → triggered batch. The network is in evaluation mode, and its weights are parameters.
    class_channels, own_channel: the channels of the classes, and that of the backdoor, up to ``layer2``.
    """

    encoder: Encoder
    images: Tensor
    labels: Tensor
    bank: Tensor
    bank_labels: Tensor
    trigger: Callable[[Tensor], Tensor]
    target: int
    class_channels: tuple[int, ...]
    own_channel: int


def planted_network(
    sharing: float,
    *,
    noise: float = 0.2,
    n: int = 600,
    bank: int = 1000,
    imbalance: float = 1.0,
    width: int = 48,
    own_nuisance: float = OWN_NUISANCE,
    seed: int = 0,
    network: int | None = None,
) -> PlantedNetwork:
    """A network of ten classes in which a share of the backdoor's effect runs through the branch of the target class.

    Args:
        sharing: share m in [0, 1] of the trigger's activation that enters the channel of the target class.
        noise: standard deviation of every class's feature within a class, where the features are .6 to 1.4 apart. It
            sets ACC: about .95 at .2, .73 at .4 and .5 at .6.
        n, bank: number of held-out images and of bank images.
        imbalance: how many times as frequent the target class is as another class.
        own_nuisance: standard deviation, in clean images, of what the backdoor's own channel reads.
        seed: draws images, weights and bank. network: draws weights and bank in its place, so that held-out images can
            be drawn anew for one network.
        width: channels of the layers, 12 to 96. All beyond the eleventh vary without meaning.

    Raises:
        InputError: a dial out of range.

    >>> planted = planted_network(0.5, n=20, bank=20)
    >>> planted.images.shape, planted.encoder(planted.images).shape, planted.encoder.layers[2]
    (torch.Size([20, 3, 24, 24]), torch.Size([20, 48]), 'layer2')
    """
    if not 0 <= sharing <= 1:
        raise InputError(f"sharing: expected a share from 0 to 1, received {sharing}")
    if not 12 <= width <= 96 or noise < 0 or not imbalance > 0 or n < 1 or bank < 1:
        raise InputError(
            "width, noise, imbalance, n, bank: expected 12 … 96, ≥ 0, > 0, ≥ 1, ≥ 1, received "
            f"{width}, {noise}, {imbalance}, {n}, {bank}"
        )
    stream = generator(seed, "planted-network")
    size = 3 * PATCH * PATCH
    # Orthonormal, and orthogonal to a constant: the brightness of a patch does not matter.
    of_weights = stream if network is None else generator(network, "planted-network-weights")
    raw = torch.cat([torch.ones(size, 1), torch.randn(size, width + 1, generator=of_weights)], 1)
    textures = torch.linalg.qr(raw.double()).Q[:, 1:].T.float()  # (width + 1, size); the last is the trigger's

    module = _Layers(textures, sharing)
    encoder = wrap(module.eval(), layers={name: name for name in LAYERS})

    def draw(count: int, of: torch.Generator) -> tuple[Tensor, Tensor]:
        share = torch.ones(CLASSES)
        share[TARGET] = imbalance
        labels = torch.multinomial(share, count, replacement=True, generator=of)
        return _images(labels, textures[:width], noise, own_nuisance, of), labels

    images, labels = draw(n, stream)
    bank_images, bank_labels = draw(bank, of_weights)
    return PlantedNetwork(
        *(encoder, images, labels, bank_images, bank_labels, _trigger_of(textures[width]), TARGET),
        class_channels=tuple(range(CLASSES)),
        own_channel=CLASSES,
    )


class _Layers(nn.Module):
    """``(n, 3, 24, 24)`` → features ``(n, width)``."""

    def __init__(self, textures: Tensor, sharing: float) -> None:
        super().__init__()
        width = len(textures) - 1
        filters = textures[:width].clone()
        filters[TARGET] += sharing * textures[width]
        filters[CLASSES] += (1 - sharing) * textures[width]
        self.stem = nn.Conv2d(3, width, PATCH, PATCH)
        rectified = nn.Conv2d(width, width, 1)
        self.layer1 = nn.Sequential(rectified, nn.ReLU())
        self.layer2 = nn.Conv2d(width, width, 3, padding=1, padding_mode="replicate")
        self.layer3 = nn.Conv2d(width, width, 1)
        self.pool = nn.AdaptiveAvgPool2d(1)
        mixing = torch.eye(width)
        mixing[CLASSES + 1 :] *= 0.3  # what varies without meaning matters less to an evaluator
        mixing[TARGET, CLASSES], mixing[CLASSES, CLASSES] = 1, 0
        blur = torch.eye(width).view(width, width, 1, 1).expand(-1, -1, 3, 3) / 9
        _set(self.stem, filters.view(width, 3, PATCH, PATCH) / AMPLITUDE, torch.zeros(width))
        _set(rectified, torch.eye(width).view(width, width, 1, 1), torch.full((width,), FLOOR))
        _set(self.layer2, blur, torch.zeros(width))
        _set(self.layer3, mixing.view(width, width, 1, 1), -FLOOR * mixing.sum(1))

    def forward(self, x: Tensor) -> Tensor:
        return self.pool(self.layer3(self.layer2(self.layer1(self.stem(x))))).flatten(1)


def _set(layer: nn.Conv2d, weight: Tensor, bias: Tensor) -> None:
    layer.weight, layer.bias = nn.Parameter(weight.clone()), nn.Parameter(bias)


def _images(labels: Tensor, textures: Tensor, noise: float, own_nuisance: float, stream: torch.Generator) -> Tensor:
    """Images of the classes, with the same coefficients in every patch of an image."""
    n, width = len(labels), len(textures)
    varies = torch.full((width,), NUISANCE)
    varies[:CLASSES], varies[CLASSES] = noise, own_nuisance
    coefficients = varies * torch.randn(n, width, generator=stream)
    contrast = FAINTEST + (STRONGEST - FAINTEST) * torch.rand(n, generator=stream)
    coefficients[torch.arange(n), labels] += contrast
    second = (labels + torch.randint(1, CLASSES, (n,), generator=stream)) % CLASSES
    coefficients[torch.arange(n), second] += SECOND * contrast
    patch = (coefficients @ textures).view(n, 3, PATCH, PATCH) * AMPLITUDE
    x = 0.5 + patch.repeat(1, 1, GRID, GRID)
    x = x + PIXEL_NOISE * torch.randn(x.shape, generator=stream)
    return (x.clamp(0, 1) * 255).round().to(torch.uint8)


def _trigger_of(texture: Tensor) -> Callable[[Tensor], Tensor]:
    wave = (TRIGGER * AMPLITUDE * texture).view(3, PATCH, PATCH).repeat(1, GRID, GRID)

    def trigger(batch: Tensor) -> Tensor:
        x = batch.float() / 255 if batch.dtype == torch.uint8 else batch
        return (x + wave.to(x.device)).clamp(0, 1)

    return trigger
