"""Anti-Backdoor Learning (Li et al., NeurIPS 2021): poisons are learned first: isolate them by their loss, unlearn
them."""

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
    """The score is minus an image's loss early in training; flagged are the ``share`` of all images whose loss is
    lowest. (Their LGA, which keeps losses from falling below γ while it trains, is not here: the encoder is trained.)

    Args:
        losses: of the training images, each the arm's own, ``(n,)``.
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
    """A copy that was led down CE on clean images and up CE on the isolated ones (their eq. 4), by Adam; head, weights
    and BN's statistics (of the clean images) move.

    What is unlearned is the class that the head, fitted to the clean images, gives an isolated image: an arm may have
    learned no labels. The paper holds the benign side with the training images that were not isolated, and theirs.
    An isolated image whose loss is above ``ceiling`` is let go: it has been unlearned.

    Args:
        isolated: uint8 ``(k, 3, H, W)``. clean: uint8 ``(m, 3, H, W)``. labels: int64 ``(m,)``.
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
        tuned.eval()  # the statistics are those of clean images
        bad = cross_entropy(head(tuned(up)), given[chosen], reduction="none").clamp(max=ceiling).mean()
        (benign - bad).backward()
        optimiser.step()
    return tuned.eval()
