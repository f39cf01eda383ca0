"""Linear probes: what can be read off features, always scored on images the probe has not seen."""

from dataclasses import dataclass

import torch
from torch import Tensor
from torch.nn.functional import normalize, one_hot

from ..representations.errors import InputError
from ..representations.seeds import generator
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


def _ridge(x: Tensor, y: Tensor, penalty: float) -> tuple[Tensor, Tensor]:
    """Weight ``(d, c)`` and bias ``(c,)`` on the features as they are."""
    mean, sd = x.mean(0), x.std(0)
    # A constant feature carries nothing: dividing by its rounding error would make it carry noise.
    scale = torch.where(sd > 1e-12 * (mean.abs() + sd), 1 / sd, torch.zeros_like(sd))
    z, centre = (x - mean) * scale, y.mean(0)
    n, d = z.shape
    if d > n:  # the same weights through the smaller of the two systems
        weight = z.T @ torch.linalg.solve(z @ z.T + penalty * n * torch.eye(n, dtype=x.dtype), y - centre)
    else:
        weight = torch.linalg.solve(z.T @ z + penalty * n * torch.eye(d, dtype=x.dtype), z.T @ (y - centre))
    weight = weight * scale.unsqueeze(1)
    return weight, centre - mean @ weight


def _need_finite(*tensors: Tensor) -> None:
    if not all(torch.isfinite(x).all() for x in tensors):
        raise InputError("features: expected finite values, received NaN or infinity")


@dataclass(frozen=True)
class Separability:
    """``auc``: held-out AUC; ``scores``: its per-image parts in [0, 1] (their mean is the AUC), for intervals;
    ``control``: the same with the members of each pair exchanged at random, ``selectivity`` = auc − control."""

    auc: float
    scores: Tensor
    control: float

    @property
    def selectivity(self) -> float:
        return self.auc - self.control


def trigger_separability(
    clean: Tensor, triggered: Tensor, *, folds: int = 5, controls: int = 5, seed: int = 0
) -> Separability:
    """Held-out AUC of a linear probe that tells triggered images from the same images without trigger.

    Within the target class (C_t against P_t) it asks whether the trigger can still be read where it should not matter:
    .5 not at all, 1 always. The split is by image: no pair straddles it. The AUC is taken inside each fold, since
    probes of different folds have different offsets. The control task of Hewitt and Liang (EMNLP 2019) has the same
    pairs with random
    labels: a probe that does well there memorises.

    Args:
        clean, triggered: features of the same images ``(n, d)``, n ≥ 2·folds.
    """
    if clean.shape != triggered.shape or clean.ndim != 2:
        raise InputError(
            f"clean, triggered: expected equal (n, d), received {tuple(clean.shape)}, {tuple(triggered.shape)}"
        )
    if controls < 1:
        raise InputError(f"controls: expected at least 1 draw of the control task, received {controls}")
    _need_finite(clean, triggered)
    clean, triggered = normalize(clean.double(), dim=1), normalize(triggered.double(), dim=1)
    scores = _placements(clean, triggered, folds, seed)
    control = torch.stack(
        [_placements(*swap_within_pairs(clean, triggered, seed=seed + i), folds, seed).mean() for i in range(controls)]
    )
    return Separability(float(scores.mean()), scores, float(control.mean()))


def _placements(clean: Tensor, triggered: Tensor, folds: int, seed: int) -> Tensor:
    """For each image the mean of two shares: of held-out clean images that its triggered version outscores, and of
    held-out triggered ones that outscore its clean version (ties count half)."""
    n = len(clean)
    scores = torch.empty(n, dtype=torch.float64)
    for held_out in folds_of(n, folds, seed):
        fit = torch.ones(n, dtype=torch.bool)
        fit[held_out] = False
        x = torch.cat([clean[fit], triggered[fit]])
        y = torch.cat([torch.zeros(int(fit.sum()), 1), torch.ones(int(fit.sum()), 1)]).double()
        low = ridge_scores(x, y, clean[held_out]).squeeze(1)
        high = ridge_scores(x, y, triggered[held_out]).squeeze(1)
        wins = (high.unsqueeze(1) > low).double() + (high.unsqueeze(1) == low).double() / 2
        scores[held_out] = (wins.mean(1) + wins.mean(0)) / 2
    return scores


def source_accuracy(features: Tensor, labels: Tensor, *, folds: int = 5, seed: int = 0) -> Tensor:
    """Scores 0 or 1: does a held-out linear probe find the source class of a triggered image?

    1 where the triggered input keeps its own class, chance (the commonest class's share) where the backdoor wipes it
    out.

    Args:
        features: ``(n, d)`` of P. labels: true classes int64 ``(n,)``. Classes with fewer than ``folds`` images are
            left out.

    Returns:
        float64 ``(n,)``, NaN for the images left out.
    """
    if labels.shape != (len(features),):
        raise InputError(f"labels: expected shape ({len(features)},), received {tuple(labels.shape)}")
    if folds < 2:
        raise InputError(f"folds: expected at least 2, received {folds}")
    _need_finite(features)
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
