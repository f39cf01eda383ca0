"""Linear probes in closed form, scored on images that they were not fitted on."""

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor
from torch.nn.functional import normalize, one_hot

from ..representations.auc import placements
from ..representations.errors import InputError
from ..representations.ridge import ridge_weights
from ..representations.seeds import derive_seed, generator
from .checks import check_controls, check_finite, check_folds, check_pairs
from .nulls import swap_within_pairs

__all__ = ["LinearHead", "Separability", "ridge_head", "ridge_scores", "source_accuracy", "trigger_separability"]


def folds_of(n: int, folds: int, seed: int) -> list[Tensor]:
    """Random parts of nearly equal size of n images.

    Own code: scikit-learn's ``KFold`` and ``GroupKFold`` draw other parts, and committed numbers depend on these.
    """
    check_folds(folds)
    if n < 2 * folds:
        raise InputError(f"n: expected at least {2 * folds} images for {folds} folds, received {n}")
    return list(torch.randperm(n, generator=generator(seed, "folds", n)).tensor_split(folds))


def ridge_scores(x: Tensor, y: Tensor, held_out: Tensor, *, penalty: float = 1e-2) -> Tensor:
    """Fit a ridge regression on standardised ``x (n, d)`` → ``y (n, c)``, and return its values on ``held_out (m, d)``.

    x is standardised with the fit's own mean and sd. The penalty is ``penalty``·n.
    """
    weight, bias = _ridge(x, y, penalty)
    return held_out @ weight + bias


def standardiser(x: Tensor) -> tuple[Tensor, Tensor]:
    """Mean ``(d,)`` and the factor of deviations from it ``(d,)``: 1/sd, and 0 for constant features."""
    mean, sd = x.mean(0), x.std(0)
    # Divided by its rounding error, a constant feature would become noise. The threshold is relative because that error
    # depends on the feature's size.
    return mean, torch.where(sd > 1e-12 * (mean.abs() + sd), 1 / sd, torch.zeros_like(sd))


def _ridge(x: Tensor, y: Tensor, penalty: float) -> tuple[Tensor, Tensor]:
    """Weight ``(d, c)`` and bias ``(c,)`` on the features as they are."""
    mean, scale = standardiser(x)
    centre = y.mean(0)
    weight = ridge_weights((x - mean) * scale, y - centre, penalty * len(x)) * scale.unsqueeze(1)
    return weight, centre - mean @ weight


@dataclass(frozen=True)
class Separability:
    """The result of :func:`trigger_separability`.

    ``auc``: held-out AUC. ``scores``: one an image, in [0, 1], ``(n,)``; their mean is the AUC. ``control``: the AUC
    with the members of each pair exchanged at random. ``selectivity`` = auc − control. ``by_fold``: for each fold of
    each repetition the AUC and its difference from the control, ``(repeats·folds, 2)``, for
    :func:`.nulls.resampled_interval`. ``folds``: the number of folds of a repetition.
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
    """Held-out AUC of a linear probe that separates triggered images from the same images without trigger.

    .5: the trigger cannot be read. 1: it can be read in every image. Within the target class (``clean_target`` against
    ``triggered_target``) this measures whether the trigger is still readable where it changes no label. The split is by
    image: both members of a pair are in the same part. The AUC is computed inside each fold, since probes of different
    folds have different offsets. Control task (Hewitt and Liang, EMNLP 2019): the same pairs with random labels. The
    evidence is the difference from it.

    Five repetitions in two halves are better than one in five parts, whose probes share most of their images. (Planted,
    n = 40: intervals of a fivefold AUC covered .68 to .83 instead of .95, these .91 to .94.) The penalty finds weak
    triggers about as well as smaller ones, and is stable where there are as few images as features.

    Cost: one solve a fold, for any number of controls. Constant features: .5.

    Args:
        clean, triggered: features of the same images ``(n, d)``, n ≥ 2·folds.

    >>> clean = torch.randn(40, 8, generator=torch.Generator().manual_seed(0)) + 9 * torch.eye(8)[1]
    >>> trigger_separability(clean, clean + 9 * torch.eye(8)[0]).auc
    1.0
    """
    check_pairs(clean, triggered)
    check_controls(controls)
    check_finite(clean, triggered)
    clean, triggered = normalize(clean.double(), dim=1), normalize(triggered.double(), dim=1)
    if repeats < 1:
        raise InputError(f"repeats: expected at least 1, received {repeats}")
    labels = pair_labels(len(clean), controls, seed)
    mean, by_fold = torch.zeros(len(clean), 1 + controls, dtype=torch.float64), []
    for i in range(repeats):
        parts = folds_of(len(clean), folds, seed if i == 0 else derive_seed(seed, "repeat", i))
        scores = _held_out_placements(clean, triggered, labels, parts, penalty)
        mean += scores / repeats
        by_fold += [scores[part].mean(0) for part in parts]
    auc, control = torch.stack(by_fold)[:, 0], torch.stack(by_fold)[:, 1:].mean(1)
    pairs = torch.stack([auc, auc - control], dim=1)
    return Separability(float(mean[:, 0].mean()), mean[:, 0], float(mean[:, 1:].mean()), pairs, folds)


def pair_labels(n: int, controls: int, seed: int) -> Tensor:
    """Labels of the first and the second member of n pairs, bool ``(2, n, 1 + controls)``.

    The true ones (first 0, second 1) come first. Then come draws of the control task, in which the two labels of each
    pair are exchanged at random.
    """
    first, second = torch.zeros(n, dtype=torch.bool), torch.ones(n, dtype=torch.bool)
    tasks = [(first, second), *(swap_within_pairs(first, second, seed=seed + i) for i in range(controls))]
    return torch.stack([torch.stack(task) for task in tasks], dim=2)


def _held_out_placements(
    clean: Tensor, triggered: Tensor, labels: Tensor, folds: Sequence[Tensor], penalty: float
) -> Tensor:
    """:func:`..representations.auc.placements` ``(n, tasks)`` inside each fold, of probes fitted on the others.

    A task is a column of ``labels``, see :func:`pair_labels`.
    """
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
        scores[held_out] = placements(high, low)
    return scores


def source_accuracy(features: Tensor, labels: Tensor, *, folds: int = 5, seed: int = 0) -> Tensor:
    """Scores 0 or 1: does a held-out linear probe find the source class of a triggered image?

    Their mean is 1 where the source class can still be read, and chance (the commonest class's share) where the
    backdoor removes it.

    Args:
        features: ``(n, d)`` of triggered images. labels: true classes, int64 ``(n,)``. Classes with fewer than
            ``folds`` images are left out.

    Returns:
        float64 ``(n,)``, NaN for the images left out.
    """
    if labels.shape != (len(features),):
        raise InputError(f"labels: expected shape ({len(features)},), received {tuple(labels.shape)}")
    check_folds(folds)
    check_finite(features)
    present, codes, counts = labels.unique(return_inverse=True, return_counts=True)
    used = (counts >= folds)[codes]
    if (counts >= folds).sum() < 2:
        raise InputError(
            f"labels: expected two classes with at least {folds} images, received counts {counts.tolist()}"
        )
    x = normalize(features.double(), dim=1)[used]
    classes = codes[used]
    y = one_hot(classes, len(present)).double()
    correct = torch.empty(len(x), dtype=torch.float64)
    for held_out in folds_of(len(x), folds, seed):
        fit = torch.ones(len(x), dtype=torch.bool)
        fit[held_out] = False
        correct[held_out] = (ridge_scores(x[fit], y[fit], x[held_out]).argmax(1) == classes[held_out]).double()
    scores = torch.full((len(features),), float("nan"), dtype=torch.float64)
    scores[used] = correct
    return scores


@dataclass(frozen=True)
class LinearHead:
    """A frozen classifier on L2-normalised features: logits = normalise(f) @ weight.T + bias."""

    weight: Tensor
    bias: Tensor

    def __call__(self, features: Tensor) -> Tensor:
        return normalize(features, dim=1) @ self.weight.to(features).T + self.bias.to(features)


def ridge_head(features: Tensor, labels: Tensor, classes: int, *, penalty: float = 1e-2) -> LinearHead:
    """Ridge regression onto one-hot labels, on L2-normalised, standardised features, as one linear map.

    Its scores are about in [0, 1] and never saturate as logits: a cross-entropy on them has a gradient in every image,
    also where the task is solved. (That of a logistic head has none: on digits, with penalty 1, the benign or the
    backdoor gradient of each of five trained encoders did not differ from noise.)

    Args:
        features: ``(n, d)``. labels: int64 ``(n,)``, every class from 0 to ``classes`` − 1 present.
    """
    if sorted(labels.unique().tolist()) != list(range(classes)):
        raise InputError(f"labels: expected all {classes} classes, received {labels.unique().tolist()}")
    x = normalize(features.double(), dim=1)
    weight, bias = _ridge(x, one_hot(labels, classes).double(), penalty)
    return LinearHead(weight.T, bias)
