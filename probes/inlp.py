"""INLP (Ravfogel et al., *Null It Out*, ACL 2020)."""

import math
from dataclasses import dataclass

import torch
from torch import Tensor

from ..representations.errors import InputError
from .checks import check_finite, check_groups, check_labelled
from .erasure import Eraser
from .linear import folds_of
from .logistic import fit_logistic

__all__ = ["Inlp", "fit_inlp"]


@dataclass(frozen=True)
class Inlp:
    """``eraser``, and the held-out ``accuracies`` of the probe in each round. The last one stopped the fit, and its
    probe was not removed, unless all rounds were used. ``chance``: the accuracy that a probe must exceed to go on."""

    eraser: Eraser
    accuracies: tuple[float, ...]
    chance: float


def fit_inlp(
    x: Tensor,
    labels: Tensor,
    *,
    groups: Tensor | None = None,
    rounds: int = 20,
    penalty: float = 1e-2,
    seed: int = 0,
) -> Inlp:
    """Iterative null-space projection: fit a logistic probe, remove its directions, and repeat until none succeeds.

    Algorithm 1 of the paper, as an orthogonal projection about the mean. A random half of the images fits each probe,
    and the other half scores it. The fit stops after ``rounds``, or when the held-out accuracy is not above chance:
    p + 1.645·√(p(1 − p)/m), p the commonest class's share of the m held-out rows. (On its own fit a probe with d ≥ n is
    always right, and all directions would be removed.)

    Unlike LEACE it removes more than necessary: one direction a class and round (one for two classes).

    Args:
        x: ``(n, d)``. labels: int64 or bool ``(n,)``. groups: the image that a row shows, int64 ``(n,)``; all rows of
            an image stay in one half. By default every row shows an image of its own.

    Cost: a logistic fit a round. Constant features, or a single class in the fitted half: rank 0.
    """
    check_labelled(x, labels, name="x")
    if rounds < 1:
        raise InputError(f"rounds: expected at least 1, received {rounds}")
    groups = check_groups(groups, labels)
    check_finite(x)
    x, labels = x.detach().double(), labels.long()
    ids, image = groups.unique(return_inverse=True)
    held_out = torch.isin(image, folds_of(len(ids), 2, seed)[1])
    share = float(labels[held_out].unique(return_counts=True)[1].max()) / int(held_out.sum())
    chance = share + 1.645 * math.sqrt(share * (1 - share) / int(held_out.sum()))
    centre = x.mean(0)
    taken = x.new_zeros(x.shape[1], 0)
    accuracies: list[float] = []
    while len(accuracies) < rounds:
        projected = x - (x - centre) @ taken @ taken.T
        probe = fit_logistic(projected[~held_out], labels[~held_out], penalty=penalty)
        accuracies.append(float((probe.predict(projected[held_out]) == labels[held_out]).double().mean()))
        if accuracies[-1] <= chance:
            break
        # Only differences between the logits of classes matter: they are the directions.
        directions = (probe.weight - probe.weight.mean(0)).T
        directions = directions - taken @ (taken.T @ directions)
        u, s, _ = torch.linalg.svd(directions, full_matrices=False)
        new = u[:, s > 1e-9 * s.max()]
        taken = torch.linalg.qr(torch.cat([taken, new], 1))[0]  # orthonormal again, to the last digit
        if taken.shape[1] >= x.shape[1]:
            break
    return Inlp(Eraser(taken, taken.T, centre), tuple(accuracies), chance)
