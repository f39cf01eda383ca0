"""DECREE (Feng et al., CVPR 2023): a backdoored encoder maps everything to one place by a small change. No labels."""

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
"""Their threshold on the share of the image."""


@dataclass(frozen=True)
class EncoderTrigger:
    """``share``: L1 norm of the mask over the number of pixels, in [0, 1]. ``similarity``: mean pairwise cosine of the
    features of all images under it. ``reached``: that is as high as was asked for (a hundredth less: it was chosen on
    a batch). ``flagged``: reached with a share below .1. ``mask``
    ``(1, H, W)``, ``pattern`` ``(3, H, W)``, in [0, 1]."""

    share: float
    similarity: float
    reached: bool
    flagged: bool
    mask: Tensor
    pattern: Tensor

    @property
    def score(self) -> float:
        """The threshold over the share: above 1, the encoder is flagged. 0 where the similarity was not reached."""
        return FLAGGED / max(self.share, 1e-12) if self.reached else 0.0


def decree(
    clean: Tensor,
    encoder: Callable[[Tensor], Tensor],
    *,
    steps: int = 600,
    similar: float = 0.99,
    seed: int = 0,
) -> EncoderTrigger:
    """The smallest mask and a pattern under which the features of all images point one way: :func:`.smallest_trigger`
    on minus their mean pairwise cosine, until that is ``similar``.

    Args:
        clean: uint8 ``(m, 3, H, W)``, known to be clean. encoder: float images in [0, 1] → features ``(b, d)``,
            differentiable.
    """
    if len(clean) < 2:
        raise InputError(f"clean: expected at least 2 images, received {len(clean)}")

    def judge(x: Tensor) -> tuple[Tensor, bool]:
        cosine = _pairwise(encoder(x))
        return -cosine, float(cosine.detach()) >= similar

    mask, pattern = smallest_trigger(clean, judge, generator(seed, "decree"), steps=steps)
    with torch.no_grad():
        similarity = float(_pairwise(encoder((1 - mask) * clean.float() / 255 + mask * pattern)))
    share = float(mask.double().mean())
    reached = similarity >= similar - 0.01
    return EncoderTrigger(share, similarity, reached, reached and share < FLAGGED, mask, pattern)


def _pairwise(features: Tensor) -> Tensor:
    """Mean cosine of all pairs of rows."""
    n, total = len(features), normalize(features, dim=1).sum(0).square().sum()
    return (total - n) / (n * (n - 1))
