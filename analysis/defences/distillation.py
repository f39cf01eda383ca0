"""A clean student: a fresh encoder that learns the suspect's features on clean images only."""

import torch
from torch import Tensor
from torch.nn.functional import cosine_similarity

from ...representations.encoders import Encoder, reinitialised
from ...representations.errors import InputError
from ...representations.seeds import generator
from ...training.augment import Augment

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
    """An encoder with fresh weights, trained to give the same direction in feature space as the suspect on each
    augmented clean image (1 − cosine), by Adam. No labels; the trigger is never seen.

    Args:
        clean: uint8 ``(m, 3, H, W)``, at least two images.
    """
    if len(clean) < 2:
        raise InputError(f"clean: expected at least 2 images, received {len(clean)}")
    student = reinitialised(encoder, seed=seed)
    optimiser = torch.optim.Adam(student.parameters(), lr=lr)
    student.train()
    for epoch in range(epochs):
        stream = generator(seed, "distillation", epoch)
        for index in torch.randperm(len(clean), generator=stream).split(batch):
            if len(index) < 2:  # BN has no statistics of one image
                continue
            x = augment(clean[index].float() / 255, stream)
            with torch.no_grad():
                wanted = encoder.eval()(x)
            optimiser.zero_grad(set_to_none=True)
            (1 - cosine_similarity(student(x), wanted, dim=1)).mean().backward()
            optimiser.step()
    return student.eval()
