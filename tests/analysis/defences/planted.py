"""Features and images whose truth is known, and what every detector must do with them."""

from collections.abc import Callable

import torch
from intertwine.analysis.defences import Detection
from intertwine.training.augment import Augment
from sklearn.metrics import roc_auc_score
from torch import Tensor

CLASSES, EACH, D = 6, 60, 12
PLAIN = Augment(crop=1.0, flip=0.0, jitter=0.0, hue=0.0, jitter_p=0.0, grayscale=0.0)


def planted(shift: float, poisons: int, *, seed: int = 0, spread: float = 1.0):
    """Features of classes at ±6 along axes of their own, the first ``poisons`` images of class 0 moved by ``shift``
    along an axis that no class has; features, labels, mask."""
    g = torch.Generator().manual_seed(seed)
    labels = torch.arange(CLASSES).repeat_interleave(EACH)
    x = 6 * torch.eye(D, dtype=torch.float64)[labels] + spread * torch.randn(len(labels), D, generator=g).double()
    mask = torch.zeros(len(labels), dtype=torch.bool)
    mask[:poisons] = True
    x[mask, D - 1] += shift
    return x, labels, mask


def as_maps(x):
    """Maps of two places: the features, and a tenth of them, so that no order is a function of another."""
    return torch.stack([x, 0.1 * x.roll(1, dims=1)], dim=2).unsqueeze(3)


def must_find_a_group_apart(detect: Callable[[Tensor, Tensor], Detection], flagged: float) -> None:
    """A fifth of a class, far off: its scores are above the others', and at least that share of it is flagged."""
    x, labels, mask = planted(12.0, 12)
    found = detect(x, labels)
    assert found.scores.shape == found.flagged.shape == labels.shape
    own = labels == 0
    assert roc_auc_score(mask[own], found.scores[own]) > 0.95
    assert found.flagged[mask].double().mean() > flagged


def must_flag_few_where_nothing_is_poisoned(detect: Callable[[Tensor, Tensor], Detection], most: float) -> None:
    shares = [float(detect(*planted(0, 0, seed=seed)[:2]).flagged.double().mean()) for seed in range(5)]
    assert sum(shares) / len(shares) <= most


def halves(n=40, seed=0):
    """Two classes: bright at the top, bright at the bottom."""
    g = torch.Generator().manual_seed(seed)
    x = torch.randint(100, (n, 3, 16, 16), dtype=torch.uint8, generator=g)
    labels = torch.arange(n) % 2
    for i in range(n):
        x[i, :, :8] += 120 * (labels[i] == 0)
        x[i, :, 8:] += 120 * (labels[i] == 1)
    return x, labels


def without_corner(x):
    seen = x.clone()
    seen[:, :, 0, 0] = 0
    return seen
