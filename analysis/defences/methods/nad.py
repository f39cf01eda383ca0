"""Neural Attention Distillation (Li et al., ICLR 2021): a fine-tuned copy teaches the defender where to look."""

from collections.abc import Mapping

import torch
from torch import Tensor
from torch.nn.functional import normalize

from ....representations.capture import recording
from ....representations.encoders import Encoder
from ....training.augment import Augment
from .fine_tuning import fine_tuning

__all__ = ["attention", "nad"]


def nad(
    encoder: Encoder,
    clean: Tensor,
    labels: Tensor,
    *,
    augment: Augment,
    beta: float = 1000.0,
    seed: int = 0,
    **tuning: float,
) -> Encoder:
    """:func:`.fine_tuning` twice: of a teacher, then of the student, whose loss has ``beta`` · Σ over layers with a map
    of mean squared differences of their :func:`attention` beside the cross-entropy (their eq. 4 and 5).

    Args:
        clean: uint8 ``(m, 3, H, W)``. labels: int64 ``(m,)``. tuning: of both, see :func:`.fine_tuning`.
    """
    teacher = fine_tuning(encoder, clean, labels, augment=augment, seed=seed, **tuning)  # type: ignore[arg-type]

    def apart(student: Mapping[str, Tensor], x: Tensor) -> Tensor:
        with torch.no_grad(), recording(teacher, teacher.layers) as wanted:
            teacher(x)
        terms = [
            (attention(student[layer]) - attention(wanted[layer])).square().mean()
            for layer in wanted
            if wanted[layer].ndim == 4
        ]
        return beta * torch.stack(terms).sum()

    return fine_tuning(encoder, clean, labels, augment=augment, seed=seed, beside=apart, **tuning)  # type: ignore[arg-type]


def attention(maps: Tensor) -> Tensor:
    """Σ over channels of squared activations, flattened and normalised: ``(n, c, h, w)`` → ``(n, h·w)`` (A²_sum)."""
    return normalize(maps.square().sum(1).flatten(1), dim=1)
