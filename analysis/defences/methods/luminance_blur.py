"""Filters before the encoder: luminance only, without the chroma of CTRL's trigger, or blur."""

from collections.abc import Callable
from functools import partial

import torch
from torch import Tensor, nn
from torchvision.transforms.functional import gaussian_blur

from ....representations.encoders import Encoder

__all__ = ["behind", "blurred", "gaussian", "luma", "luminance_only"]

LUMA = (0.299, 0.587, 0.114)


class _Filtered(nn.Module):
    """A backbone behind a filter, which gets images in [0, 1]; they are normalised again afterwards."""

    mean: Tensor
    std: Tensor

    def __init__(self, encoder: Encoder, change: Callable[[Tensor], Tensor]) -> None:
        super().__init__()
        self.backbone, self.change = encoder.backbone, change
        self.register_buffer("mean", encoder.mean.clone(), persistent=False)
        self.register_buffer("std", encoder.std.clone(), persistent=False)

    def forward(self, x: Tensor) -> Tensor:
        return self.backbone((self.change(x * self.std + self.mean) - self.mean) / self.std)


def luminance_only(encoder: Encoder) -> Encoder:
    """The encoder behind :func:`luma`. Weights are shared."""
    return behind(encoder, luma)


def blurred(encoder: Encoder, *, sigma: float = 1.0) -> Encoder:
    """The encoder behind :func:`gaussian`. Weights are shared."""
    return behind(encoder, partial(gaussian, sigma=sigma))


def gaussian(images: Tensor, *, sigma: float = 1.0) -> Tensor:
    """Blur float images ``(n, 3, H, W)`` by a Gaussian of ``sigma`` pixels."""
    side = 2 * max(1, round(2 * sigma)) + 1
    return gaussian_blur(images, kernel_size=[side, side], sigma=[sigma, sigma])


def luma(images: Tensor) -> Tensor:
    """Replace the channels of float images ``(n, 3, H, W)`` by their luma (BT.601)."""
    weights = torch.tensor(LUMA).to(images).view(1, 3, 1, 1)
    return (images * weights).sum(1, keepdim=True).expand_as(images)


def behind(encoder: Encoder, change: Callable[[Tensor], Tensor]) -> Encoder:
    """The encoder behind a filter: float ``(n, 3, H, W)`` in [0, 1] → the same shape. Weights are shared."""
    layers = {layer: f"backbone.{name}" for layer, name in encoder.layer_modules.items()}
    filtered = Encoder(_Filtered(encoder, change), layers)
    filtered.mean, filtered.std = encoder.mean, encoder.std
    return filtered.train(encoder.training)
