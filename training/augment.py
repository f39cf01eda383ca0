"""Augmentation of a whole batch at once, drawn independently for each image.

Own code: torchvision's v2 transforms draw one crop and colour for the whole batch, and are slower image by image. The
distributions are torchvision's (RandomResizedCrop, RandomHorizontalFlip, ColorJitter, RandomGrayscale), in two passes
over the batch. Crop and flip are one ``grid_sample``. Brightness, contrast, saturation, hue and grayscale are one
affine map of the three channels. Four things differ: crops have subpixel positions, colour steps have a fixed order,
hue rotates the chroma plane of YIQ, and values are clamped once at the end. Less energy of CTRL's chroma pattern
remains than with torchvision (docs/evidence-ctrl.md, "What augmentation leaves of a trigger").
"""

import math
from dataclasses import dataclass

import torch
from torch import Tensor
from torch.nn.functional import affine_grid, grid_sample

from ..representations.errors import InputError

__all__ = ["Augment"]

TRIES = 10
LUMA = torch.tensor([0.299, 0.587, 0.114])
RGB_TO_YIQ = torch.tensor([[0.299, 0.587, 0.114], [0.596, -0.274, -0.322], [0.211, -0.523, 0.312]])
YIQ_TO_RGB = torch.linalg.inv(RGB_TO_YIQ)


@dataclass(frozen=True)
class Augment:
    """Float batch in [0, 1] ``(n, 3, H, W)`` → augmented batch of the same shape, in [0, 1].

    Args:
        crop: smallest area of the random crop, in (0, 1]; 1 turns cropping off. Aspect 3/4 to 4/3.
        flip: probability of a mirror image.
        jitter: strength of brightness, contrast and saturation: factors 1 ± jitter. hue: largest rotation, in turns.
        jitter_p: probability of the jitter, hue included. grayscale: probability of losing colour.
        one_coin: one draw decides for the whole batch whether it is jittered, by amounts that differ between images; a
            quirk of the official CTRL code.
    """

    crop: float = 0.2
    flip: float = 0.5
    jitter: float = 0.4
    hue: float = 0.1
    jitter_p: float = 0.8
    grayscale: float = 0.2
    one_coin: bool = False

    def __post_init__(self) -> None:
        if not 0 < self.crop <= 1:
            raise InputError(f"crop: expected an area in (0, 1], received {self.crop}")
        for name in ("flip", "jitter", "hue", "jitter_p", "grayscale"):
            if not 0 <= getattr(self, name) <= 1:
                raise InputError(f"{name}: expected a number in [0, 1], received {getattr(self, name)}")

    def __call__(self, images: Tensor, generator: torch.Generator) -> Tensor:
        """Augment a batch. ``generator`` is on the CPU: a stream gives the same draws for images on any device."""
        return self.apply(images, self.draw(len(images), generator))

    def draw(self, n: int, generator: torch.Generator) -> Tensor:
        """Draw the uniform numbers that decide for n images, one row each."""
        u = torch.rand(n, 9 + 2 * TRIES, generator=generator)
        if self.one_coin:
            u[:, 3] = u[0, 3]
        return u

    def apply(self, images: Tensor, drawn: Tensor) -> Tensor:
        """Augment by given rows of :meth:`draw`: a part of a batch is augmented like the whole."""
        # The parameters of each image are computed on the CPU: on a GPU each of these hundred small steps would be a
        # kernel launch.
        if self.crop < 1 or self.flip > 0:
            images = self._crop_and_flip(images, drawn)
        if self.jitter > 0 or self.hue > 0 or self.grayscale > 0:
            images = self._recolour(images, drawn)
        return images

    def _crop_and_flip(self, images: Tensor, u: Tensor) -> Tensor:
        height, width = images.shape[-2:]
        scale_x, scale_y = torch.ones_like(u[:, 0]), torch.ones_like(u[:, 0])
        if self.crop < 1:
            area = self.crop + (1 - self.crop) * u[:, 9 : 9 + TRIES]
            root_aspect = ((2 * u[:, 9 + TRIES :] - 1) * math.log(4 / 3) / 2).exp()
            x, y = area.sqrt() * root_aspect, area.sqrt() / root_aspect  # share of each side
            # As in torchvision, a crop outside the image is drawn again, at most ten times; then it is the whole image.
            fits = (x <= 1) & (y <= 1)
            first, any_fits = fits.float().argmax(1, keepdim=True), fits.any(1)
            scale_x = torch.where(any_fits, x.gather(1, first).squeeze(1), 1.0)
            scale_y = torch.where(any_fits, y.gather(1, first).squeeze(1), 1.0)
        mirror = torch.where(u[:, 0] < self.flip, -1.0, 1.0)
        theta = torch.zeros(len(images), 2, 3)
        theta[:, 0, 0], theta[:, 0, 2] = scale_x * mirror, (2 * u[:, 1] - 1) * (1 - scale_x)
        theta[:, 1, 1], theta[:, 1, 2] = scale_y, (2 * u[:, 2] - 1) * (1 - scale_y)
        theta = theta.to(images.device, non_blocking=True)
        grid = affine_grid(theta, [len(images), 3, height, width], align_corners=False)
        return grid_sample(images, grid, mode="bilinear", padding_mode="border", align_corners=False)

    def _recolour(self, images: Tensor, u: Tensor) -> Tensor:
        n, device = len(images), images.device
        identity, to_gray = torch.eye(3), LUMA.expand(3, 3)
        chosen = (u[:, 3] < self.jitter_p).float()
        brightness, contrast, saturation = (1 + chosen * self.jitter * (2 * u[:, i] - 1) for i in (4, 5, 6))
        angle = chosen * self.hue * (2 * u[:, 7] - 1) * 2 * math.pi
        cos, sin = angle.cos(), angle.sin()
        turn = torch.zeros(n, 3, 3)
        turn[:, 0, 0] = 1
        turn[:, 1, 1], turn[:, 1, 2], turn[:, 2, 1], turn[:, 2, 2] = cos, -sin, sin, cos
        s = saturation.view(-1, 1, 1)
        colour = YIQ_TO_RGB @ turn @ RGB_TO_YIQ @ (s * identity + (1 - s) * to_gray)
        gray = (u[:, 8] < self.grayscale).view(-1, 1, 1)
        colour = torch.where(gray, to_gray @ colour, colour)
        # Contrast moves values towards the image's mean luma, a constant gray, which later steps do not change.
        matrix = (colour * (brightness * contrast).view(-1, 1, 1)).to(device, non_blocking=True)
        pull = (brightness * (1 - contrast)).to(device, non_blocking=True)
        mean_luma = torch.einsum("nchw,c->n", images, LUMA.to(device, non_blocking=True)) / images[0, 0].numel()
        offset = pull * mean_luma
        out = torch.baddbmm(offset.view(-1, 1, 1), matrix, images.flatten(2))
        return out.view_as(images).clamp_(0, 1)
