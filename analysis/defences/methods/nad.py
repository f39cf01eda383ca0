"""Neural Attention Distillation (Li et al., ICLR 2021): distil the attention maps of a fine-tuned teacher."""

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
    """Fine-tune a teacher, then a student that also matches the teacher's attention (eq. 4 and 5).

    The student's loss is cross-entropy + ``beta`` · Σ over layers with maps of the mean squared difference of
    :func:`attention`.

    Args:
        clean: uint8 ``(m, 3, H, W)``. labels: int64 ``(m,)``. tuning: arguments of both :func:`.fine_tuning`.
    """
    teacher = fine_tuning(encoder, clean, labels, augment=augment, seed=seed, **tuning)  # type: ignore[arg-type]

    def distance(student: Mapping[str, Tensor], x: Tensor) -> Tensor:
        with torch.no_grad(), recording(teacher, teacher.layers) as wanted:
            teacher(x)
        terms = [
            (attention(student[layer]) - attention(wanted[layer])).square().mean()
            for layer in wanted
            if wanted[layer].ndim == 4
        ]
        return beta * torch.stack(terms).sum()

    return fine_tuning(encoder, clean, labels, augment=augment, seed=seed, penalty=distance, **tuning)  # type: ignore[arg-type]


def attention(maps: Tensor) -> Tensor:
    """Squared activations summed over channels, flattened and normalised: ``(n, c, h, w)`` → ``(n, h·w)`` (A²_sum)."""
    return normalize(maps.square().sum(1).flatten(1), dim=1)
