"""Distillation: a new encoder learns the old one's features on clean images only."""

import torch
from torch import Tensor
from torch.nn.functional import cosine_similarity

from ....representations.encoders import Encoder, reinitialised
from ....training.augment import Augment
from ..common.batches import clean_batches

__all__ = ["distillation"]


def distillation(
    encoder: Encoder,
    clean: Tensor,
    *,
    augment: Augment,
    epochs: int = 100,
    lr: float = 2e-3,
    batch: int = 64,
    seed: int = 0,
) -> Encoder:
    """Train an encoder with fresh weights to match the directions of the old features, by Adam.

    The loss is 1 − cosine on augmented clean images. No labels are needed, and the trigger is never shown.

    Args:
        clean: uint8 ``(m, 3, H, W)``, at least two images.
    """
    student = reinitialised(encoder, seed=seed)
    optimiser = torch.optim.Adam(student.parameters(), lr=lr)
    student.train()
    drawn = {"epochs": epochs, "batch": batch, "seed": seed}
    for _, x in clean_batches(clean, augment, encoder.mean.device, **drawn, purpose="distillation"):
        with torch.no_grad():
            wanted = encoder.eval()(x)
        optimiser.zero_grad(set_to_none=True)
        (1 - cosine_similarity(student(x), wanted, dim=1)).mean().backward()
        optimiser.step()
    return student.eval()
