"""Linear probes: what can be read off features, always scored on images the probe has not seen."""

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor
from torch.nn.functional import normalize, one_hot

from ..representations.errors import InputError
from ..representations.seeds import derive_seed, generator
from .nulls import swap_within_pairs

__all__ = ["LinearHead", "Separability", "ridge_head", "ridge_scores", "source_accuracy", "trigger_separability"]


def folds_of(n: int, folds: int, seed: int) -> list[Tensor]:
    """Random parts of nearly equal size of n images."""
    if folds < 2:
        raise InputError(f"folds: expected at least 2, received {folds}")
    if n < 2 * folds:
        raise InputError(f"n: expected at least {2 * folds} images for {folds} folds, received {n}")
    return list(torch.randperm(n, generator=generator(seed, "folds", n)).tensor_split(folds))


def ridge_scores(x: Tensor, y: Tensor, held_out: Tensor, *, penalty: float = 1e-2) -> Tensor:
    """Fit a ridge regression on standardised ``x (n, d)`` → ``y (n, c)`` and return its values on ``held_out (m, d)``.

    Standardised with the fit's own mean and sd; the penalty is ``penalty``·n, so that it does not depend on scale.
    """
    weight, bias = _ridge(x, y, penalty)
    return held_out @ weight + bias


def standardiser(x: Tensor) -> tuple[Tensor, Tensor]:
    """Mean ``(d,)`` and what to multiply deviations from it with ``(d,)``: 1/sd, and 0 for constant features."""
    mean, sd = x.mean(0), x.std(0)
    # A constant feature carries nothing: dividing by its rounding error would make it carry noise. How large that
    # error is depends on the feature's size, so the threshold is relative to it.
    return mean, torch.where(sd > 1e-12 * (mean.abs() + sd), 1 / sd, torch.zeros_like(sd))


def _ridge(x: Tensor, y: Tensor, penalty: float) -> tuple[Tensor, Tensor]:
    """Weight ``(d, c)`` and bias ``(c,)`` on the features as they are."""
    mean, scale = standardiser(x)
    z, centre = (x - mean) * scale, y.mean(0)
    n, d = z.shape
    if d > n:  # the same weights through the smaller of the two systems
        weight = z.T @ torch.linalg.solve(z @ z.T + penalty * n * torch.eye(n, dtype=x.dtype), y - centre)
    else:
        weight = torch.linalg.solve(z.T @ z + penalty * n * torch.eye(d, dtype=x.dtype), z.T @ (y - centre))
    weight = weight * scale.unsqueeze(1)
    return weight, centre - mean @ weight


def need_finite(*tensors: Tensor) -> None:
    if not all(torch.isfinite(x).all() for x in tensors):
        raise InputError("features: expected finite values, received NaN or infinity")


@dataclass(frozen=True)
class Separability:
    """What :func:`trigger_separability` finds.

    ``auc``: held-out AUC; ``scores``: its per-image parts in [0, 1], ``(n,)``, whose mean is the AUC;
    ``control``: the same with the members of each pair exchanged at random, ``selectivity`` = auc − control.
    ``by_fold``: the AUC of each fold of each repetition, and beside it its difference to the control's,
    ``(repeats·folds, 2)``, for :func:`.nulls.resampled_interval`; ``folds``: how many a repetition has.
    """

    auc: float
    scores: Tensor
    control: float
    by_fold: Tensor
    folds: int

    @property
    def selectivity(self) -> float:
        return self.auc - self.control


def trigger_separability(
    clean: Tensor,
    triggered: Tensor,
    *,
    folds: int = 2,
    repeats: int = 5,
    controls: int = 5,
    penalty: float = 0.1,
    seed: int = 0,
) -> Separability:
    """Held-out AUC of a linear probe that tells triggered images from the same images without trigger.

    Within the target class (clean_target against triggered_target) it asks whether the trigger can still be read where
    it should not matter: .5 not at all, 1 always. The split is by image: no pair straddles it. The AUC is taken inside
    each fold, since probes of different folds have different offsets. Control task (Hewitt and Liang, EMNLP 2019): the
    same pairs, the two labels of each dealt at random; a probe is believed by how far it is above that.

    Five repetitions in two halves, not one in five parts: the spread of parts whose probes share most of their images
    says too little about another sample (planted: intervals of a fivefold AUC held .68 to .83 instead of .95 at n = 40,
    these .91 to .94). The penalty reads weak triggers about as well as lighter ones, and without their instability
    where images are as few as features.

    Cost: one solve a fold, whatever the number of controls. Constant features: .5.

    Args:
        clean, triggered: features of the same images ``(n, d)``, n ≥ 2·folds.

    >>> clean = torch.randn(40, 8, generator=torch.Generator().manual_seed(0)) + 9 * torch.eye(8)[1]
    >>> trigger_separability(clean, clean + 9 * torch.eye(8)[0]).auc
    1.0
    """
    if clean.shape != triggered.shape or clean.ndim != 2:
        raise InputError(
            f"clean, triggered: expected equal (n, d), received {tuple(clean.shape)}, {tuple(triggered.shape)}"
        )
    if controls < 1:
        raise InputError(f"controls: expected at least 1 draw of the control task, received {controls}")
    need_finite(clean, triggered)
    clean, triggered = normalize(clean.double(), dim=1), normalize(triggered.double(), dim=1)
    if repeats < 1:
        raise InputError(f"repeats: expected at least 1, received {repeats}")
    labels = pair_labels(len(clean), controls, seed)
    mean, by_fold = torch.zeros(len(clean), 1 + controls, dtype=torch.float64), []
    for i in range(repeats):
        parts = folds_of(len(clean), folds, seed if i == 0 else derive_seed(seed, "repeat", i))
        placements = _placements(clean, triggered, labels, parts, penalty)
        mean += placements / repeats
        by_fold += [placements[part].mean(0) for part in parts]
    auc, control = torch.stack(by_fold)[:, 0], torch.stack(by_fold)[:, 1:].mean(1)
    pairs = torch.stack([auc, auc - control], dim=1)
    return Separability(float(mean[:, 0].mean()), mean[:, 0], float(mean[:, 1:].mean()), pairs, folds)


def pair_labels(n: int, controls: int, seed: int) -> Tensor:
    """Labels of the first and the second member of n pairs, bool ``(2, n, 1 + controls)``: the true ones (first 0,
    second 1), then draws of the control task, in which the two labels of each pair are exchanged at random."""
    first, second = torch.zeros(n, dtype=torch.bool), torch.ones(n, dtype=torch.bool)
    tasks = [(first, second), *(swap_within_pairs(first, second, seed=seed + i) for i in range(controls))]
    return torch.stack([torch.stack(task) for task in tasks], dim=2)


def _placements(clean: Tensor, triggered: Tensor, labels: Tensor, folds: Sequence[Tensor], penalty: float) -> Tensor:
    """For each image and each task (a column of ``labels``, see :func:`pair_labels`) the mean of two shares: of
    held-out images labelled 0 that its version labelled 1 outscores, and of those labelled 1 that outscore its version
    labelled 0 (ties count half)."""
    n, tasks = len(clean), labels.shape[2]
    scores = torch.empty(n, tasks, dtype=torch.float64)
    for held_out in folds:
        fit = torch.ones(n, dtype=torch.bool)
        fit[held_out] = False
        # All tasks have the same features, so one solve serves them all.
        values = ridge_scores(
            torch.cat([clean[fit], triggered[fit]]),
            labels[:, fit].flatten(0, 1).double(),
            torch.cat([clean[held_out], triggered[held_out]]),
            penalty=penalty,
        )
        first, second = values.view(2, len(held_out), tasks)
        exchanged = labels[0, held_out]
        low, high = torch.where(exchanged, second, first), torch.where(exchanged, first, second)
        gap = high.unsqueeze(1) - low  # (triggered, clean, task)
        wins = (gap > 0).double() + (gap == 0).double() / 2
        scores[held_out] = (wins.mean(1) + wins.mean(0)) / 2
    return scores


def source_accuracy(features: Tensor, labels: Tensor, *, folds: int = 5, seed: int = 0) -> Tensor:
    """Scores 0 or 1: does a held-out linear probe find the source class of a triggered image?

    1 where the triggered input keeps its own class, chance (the commonest class's share) where the backdoor wipes it
    out.

    Args:
        features: ``(n, d)`` of triggered images. labels: true classes int64 ``(n,)``. Classes with fewer than
            ``folds`` images are left out.

    Returns:
        float64 ``(n,)``, NaN for the images left out.
    """
    if labels.shape != (len(features),):
        raise InputError(f"labels: expected shape ({len(features)},), received {tuple(labels.shape)}")
    if folds < 2:
        raise InputError(f"folds: expected at least 2, received {folds}")
    need_finite(features)
    present, codes, counts = labels.unique(return_inverse=True, return_counts=True)
    kept = (counts >= folds)[codes]
    if (counts >= folds).sum() < 2:
        raise InputError(
            f"labels: expected two classes with at least {folds} images, received counts {counts.tolist()}"
        )
    x = normalize(features.double(), dim=1)[kept]
    classes = codes[kept]
    y = one_hot(classes, len(present)).double()
    correct = torch.empty(len(x), dtype=torch.float64)
    for held_out in folds_of(len(x), folds, seed):
        fit = torch.ones(len(x), dtype=torch.bool)
        fit[held_out] = False
        correct[held_out] = (ridge_scores(x[fit], y[fit], x[held_out]).argmax(1) == classes[held_out]).double()
    scores = torch.full((len(features),), float("nan"), dtype=torch.float64)
    scores[kept] = correct
    return scores


@dataclass(frozen=True)
class LinearHead:
    """A frozen classifier on L2-normalised features: logits = normalise(f) @ weight.T + bias."""

    weight: Tensor
    bias: Tensor

    def __call__(self, features: Tensor) -> Tensor:
        return normalize(features, dim=1) @ self.weight.to(features).T + self.bias.to(features)


def ridge_head(features: Tensor, labels: Tensor, classes: int, *, penalty: float = 1e-2) -> LinearHead:
    """Ridge regression onto one-hot labels, on L2-normalised, standardised features, folded into one linear map.

    Its scores lie about [0, 1], so that as logits they never saturate: a cross-entropy on them has a gradient in every
    image, however well the task is solved. (A logistic head's has not: on digits, with penalty 1, the benign or the
    backdoor gradient of each of five trained encoders could not be told from noise.)

    Args:
        features: ``(n, d)``. labels: int64 ``(n,)``, every class from 0 to ``classes`` − 1 present.
    """
    if sorted(labels.unique().tolist()) != list(range(classes)):
        raise InputError(f"labels: expected all {classes} classes, received {labels.unique().tolist()}")
    x = normalize(features.double(), dim=1)
    weight, bias = _ridge(x, one_hot(labels, classes).double(), penalty)
    return LinearHead(weight.T, bias)
