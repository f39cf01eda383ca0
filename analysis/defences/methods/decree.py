"""DECREE (Feng et al., CVPR 2023): a small trigger sends all images of a backdoored encoder to one place."""

from collections.abc import Callable
from dataclasses import dataclass

import torch
from torch import Tensor
from torch.nn.functional import normalize

from ....representations.errors import InputError
from ....representations.seeds import generator
from ..common.inversion import smallest_trigger

__all__ = ["EncoderTrigger", "decree"]

FLAGGED = 0.1
"""The paper's threshold on the share of the image."""


@dataclass(frozen=True)
class EncoderTrigger:
    """The trigger found in an encoder.

    share: L1 norm of the mask over the number of pixels, in [0, 1]. similarity: mean pairwise cosine of the features of
    all images under the trigger. reached: the similarity is at most .01 below the one asked for (the trigger was
    chosen on a batch). flagged: reached, with a share below .1. mask: ``(1, H, W)``, in [0, 1]. pattern: ``(3, H, W)``,
    in [0, 1].
    """

    share: float
    similarity: float
    reached: bool
    flagged: bool
    mask: Tensor
    pattern: Tensor

    @property
    def score(self) -> float:
        """Threshold over share; above 1 the encoder is flagged. 0 where the similarity was not reached."""
        return FLAGGED / max(self.share, 1e-12) if self.reached else 0.0


def decree(
    clean: Tensor,
    encoder: Callable[[Tensor], Tensor],
    *,
    steps: int = 600,
    similar: float = 0.99,
    seed: int = 0,
) -> EncoderTrigger:
    """Find the smallest trigger under which the features of all images point in one direction. No labels are needed.

    :func:`.smallest_trigger` minimises minus the mean pairwise cosine, until it is ``similar``.

    Args:
        clean: uint8 ``(m, 3, H, W)``, known to be clean. encoder: differentiable, float images in [0, 1] → features
            ``(b, d)``.

    Raises:
        InputError: fewer than two images.
    """
    if len(clean) < 2:
        raise InputError(f"clean: expected at least 2 images, received {len(clean)}")

    def effect(x: Tensor) -> tuple[Tensor, bool]:
        cosine = _pairwise(encoder(x))
        return -cosine, float(cosine.detach()) >= similar

    mask, pattern = smallest_trigger(clean, effect, generator(seed, "decree"), steps=steps)
    with torch.no_grad():
        similarity = float(_pairwise(encoder((1 - mask) * clean.float() / 255 + mask * pattern)))
    share = float(mask.double().mean())
    reached = similarity >= similar - 0.01
    return EncoderTrigger(share, similarity, reached, reached and share < FLAGGED, mask, pattern)


def _pairwise(features: Tensor) -> Tensor:
    """Mean cosine of all pairs of rows."""
    n, total = len(features), normalize(features, dim=1).sum(0).square().sum()
    return (total - n) / (n * (n - 1))
