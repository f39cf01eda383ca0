"""SCAn (Tang et al., "Demon in the Variant", USENIX Security 2021): test whether a class is two groups of images."""

import torch
from torch import Tensor

from ....representations.errors import InputError
from ..common.detection import Detection, check_features, each_class
from ..common.robust import above_median

__all__ = ["global_model", "scan", "split_in_two"]

FLAGGED = 7.38905609893065  # e², §5.3


def scan(
    features: Tensor, labels: Tensor, clean: Tensor, clean_labels: Tensor, *, threshold: float = FLAGGED
) -> Detection:
    """Test each class for two groups against one, and flag the smaller group of anomalous classes.

    The identity of a class is a point of a global Gaussian, and images scatter about it alike in all classes. EM fits
    both covariances to clean images. J is the likelihood ratio of two groups against one. A class is anomalous where
    (J − median)/(1.4826·MAD) over the classes is above e²; values below the median do not count. If half of a class is
    poisoned, the flagged group may be either half.

    The score is the index of the class times the rank, in [0, 1], of an image's log-likelihood ratio between the
    groups. Rank 1 is surely of the smaller group.

    Args:
        features, labels: of training images, ``(n, d)`` and ``(n,)``. clean, clean_labels: the same of images known to
            be clean, of at least two classes with two images each.

    Raises:
        InputError: see :func:`.check_features`; clean images of one class only.
    """
    features = check_features(features, labels)
    clean = check_features(clean, clean_labels, names=("clean", "clean_labels"))
    if len(clean_labels.unique()) < 2:
        raise InputError("clean_labels: expected at least two classes, received one")
    centre = clean.mean(0)
    _, within = global_model(clean - centre, clean_labels)
    precision = torch.linalg.inv(within)
    groups, ratios, parts = [], [], []
    for index in each_class(labels):
        x = features[index] - centre
        second, leaning = split_in_two(x, precision)
        groups.append((index, second))
        parts.append(leaning)
        ratios.append(_likelihood_ratio(x, second, precision))
    indices = above_median(torch.tensor(ratios, dtype=torch.float64))
    scores, flagged = torch.zeros(len(features), dtype=torch.float64), torch.zeros(len(features), dtype=torch.bool)
    for (index, second), leaning, anomaly in zip(groups, parts, indices.tolist(), strict=True):
        scores[index] = torch.where(leaning > 0, anomaly * leaning, 0.0)  # the anomaly may be infinite
        flagged[index] = second & (anomaly > threshold)
    return Detection(scores, flagged)


def global_model(x: Tensor, labels: Tensor, *, rounds: int = 50, shrinkage: float = 0.1) -> tuple[Tensor, Tensor]:
    """Covariances between classes and within classes, ``(d, d)`` each, by EM.

    The model is that of Chen et al., "Bayesian Face Revisited", ECCV 2012 (SCAn's eq. 2). Both are shrunk towards the
    mean of their diagonal by ``shrinkage``, because there may be about as many features as clean images.

    Args:
        x: centred features, float64 ``(n, d)``.
    """
    d = x.shape[1]
    classes = [x[index] for index in each_class(labels)]
    means = torch.stack([c.mean(0) for c in classes])
    between = _shrunk(means.T @ means / len(classes), shrinkage)
    within = _shrunk(_scatter(classes, means) / len(x), shrinkage)
    for _ in range(rounds):
        # E: mean and covariance of each identity, given its images. M: both covariances.
        identities, unsure = [], []
        for c in classes:
            gain = between @ torch.linalg.inv(between + within / len(c))
            identities.append(gain @ c.mean(0))
            unsure.append(between - gain @ between)
        means = torch.stack(identities)
        spread = torch.stack(unsure)
        counts = torch.tensor([len(c) for c in classes], dtype=torch.float64)
        new_between = _shrunk(means.T @ means / len(classes) + spread.mean(0), shrinkage)
        new_within = _shrunk((_scatter(classes, means) + (counts[:, None, None] * spread).sum(0)) / len(x), shrinkage)
        moved = (new_within - within).norm() / within.norm() + (new_between - between).norm() / between.norm()
        between, within = new_between, new_within
        if moved < 1e-6:
            break
    jitter = 1e-12 * torch.eye(d, dtype=torch.float64)
    return between + jitter, within + jitter


def split_in_two(x: Tensor, precision: Tensor, *, rounds: int = 100) -> tuple[Tensor, Tensor]:
    """Split a class into two groups.

    The split begins with the sign of the first principal component in the metric of ``precision``. Then each image
    moves to the nearer mean until nothing changes. For equal covariances the alternation of §5.2 ends at the same
    groups.

    Returns:
        bool ``(n,)``, true for the smaller group; and the rank of each image's log-likelihood ratio between the groups,
        in [0, 1].
    """
    root = torch.linalg.cholesky(precision)
    z = x @ root  # in z, distances are Euclidean
    z = z - z.mean(0)
    _, _, right = torch.linalg.svd(z, full_matrices=False)
    second = z @ right[0] > 0
    for _ in range(rounds):
        if second.all() or not second.any():
            break
        a, b = z[~second].mean(0), z[second].mean(0)
        new = (z - b).square().sum(1) < (z - a).square().sum(1)
        if torch.equal(new, second):
            break
        second = new
    if second.all() or not second.any():
        return torch.zeros(len(x), dtype=torch.bool), torch.zeros(len(x), dtype=torch.float64)
    if second.double().mean() > 0.5:
        second = ~second
    a, b = z[~second].mean(0), z[second].mean(0)
    ratio = (z - a).square().sum(1) - (z - b).square().sum(1)
    return second, ratio.argsort().argsort().double() / max(1, len(x) - 1)


def _likelihood_ratio(x: Tensor, second: Tensor, precision: Tensor) -> float:
    """−2 log of the likelihood ratio of one group over two, for each image: SCAn's J without constants."""
    if not second.any():
        return 0.0
    centred = x - x.mean(0)
    grouped = torch.where(second[:, None], x - x[second].mean(0), x - x[~second].mean(0))
    return float(((centred @ precision) * centred).sum() - ((grouped @ precision) * grouped).sum()) / len(x)


def _scatter(classes: list[Tensor], means: Tensor) -> Tensor:
    return torch.stack([(c - m).T @ (c - m) for c, m in zip(classes, means, strict=True)]).sum(0)


def _shrunk(covariance: Tensor, share: float) -> Tensor:
    flat = covariance.diagonal().mean() * torch.eye(len(covariance), dtype=covariance.dtype)
    return (1 - share) * covariance + share * flat
