"""Anti-Backdoor Learning (Li et al., NeurIPS 2021): isolate poisons by their low early loss, then unlearn them."""

import copy

import torch
from torch import Tensor
from torch.nn.functional import cross_entropy

from ....representations.encoders import Encoder
from ....representations.errors import InputError
from ....representations.seeds import generator
from ....training.augment import Augment
from ..common.batches import clean_batches
from ..common.detection import Detection
from ..common.heads import clean_head

__all__ = ["abl_isolation", "abl_unlearning"]


def abl_isolation(losses: Tensor, *, share: float = 0.01) -> Detection:
    """Flag the ``share`` of training images with the lowest loss early in training; the score is minus the loss.

    The paper's LGA, which holds losses above γ during training, is not here: the encoder is already trained.

    Args:
        losses: loss of each training image by the arm's own loss, ``(n,)``.

    Raises:
        InputError: losses of another shape, none, or not finite.
    """
    if losses.ndim != 1 or not len(losses) or not torch.isfinite(losses).all():
        raise InputError(f"losses: expected finite values (n,), received {tuple(losses.shape)}")
    flagged = torch.zeros(len(losses), dtype=torch.bool)
    flagged[losses.argsort()[: max(1, round(share * len(losses)))]] = True
    return Detection(-losses.double(), flagged)


def abl_unlearning(
    encoder: Encoder,
    isolated: Tensor,
    clean: Tensor,
    labels: Tensor,
    *,
    augment: Augment,
    epochs: int = 20,
    lr: float = 1e-3,
    batch: int = 32,
    ceiling: float = 10.0,
    seed: int = 0,
) -> Encoder:
    """Train a copy by Adam: descent on cross-entropy on clean images, ascent on the isolated ones (eq. 4).

    Weights, head and BatchNorm's statistics (of clean images) change. What is unlearned is the class that the head,
    fitted to clean images, predicts for an isolated image: an arm may have no labels. The paper instead uses the labels
    of the training set, and its other images as the benign side. Isolated images whose loss is above ``ceiling`` count
    as unlearned and have no more effect.

    Args:
        isolated: uint8 ``(k, 3, H, W)``. clean: uint8 ``(m, 3, H, W)``. labels: int64 ``(m,)``.

    Raises:
        InputError: no isolated images.
    """
    if not len(isolated):
        raise InputError("isolated: expected at least one image, received none")
    tuned = copy.deepcopy(encoder).eval()
    device = tuned.mean.device
    head, columns = clean_head(tuned, clean, labels)
    with torch.no_grad():
        given = head(tuned(isolated.to(device))).argmax(1)
    optimiser = torch.optim.Adam([*tuned.parameters(), *head.parameters()], lr=lr)
    stream = generator(seed, "abl-isolated")
    for index, x in clean_batches(clean, augment, device, epochs=epochs, batch=batch, seed=seed, purpose="abl"):
        chosen = torch.randperm(len(isolated), generator=stream)[:batch]
        up = augment(isolated[chosen].to(device).float() / 255, stream)
        optimiser.zero_grad(set_to_none=True)
        tuned.train()
        benign = cross_entropy(head(tuned(x)), columns[index])
        tuned.eval()  # statistics come from clean images only
        bad = cross_entropy(head(tuned(up)), given[chosen], reduction="none").clamp(max=ceiling).mean()
        (benign - bad).backward()
        optimiser.step()
    return tuned.eval()
