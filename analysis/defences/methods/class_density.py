"""Class density, the baseline of detectors: flag images where their class is densest."""

import torch
from torch import Tensor
from torch.nn.functional import normalize

from ..common.detection import Detection, check_features, each_class

__all__ = ["class_density"]


def class_density(features: Tensor, labels: Tensor, *, k: int = 10, cut: float = 0.85) -> Detection:
    """Score images by minus the distance, on the unit sphere, to the ``k``-th nearest image of their class.

    Triggered images look alike, so that they lie close together. Images above the ``cut`` quantile of their class are
    flagged. The rule uses nothing about backdoors. In classes of ``k`` images or fewer, the farthest image counts.

    Args:
        features: ``(n, d)``. labels: int64 ``(n,)``.
    """
    features = normalize(check_features(features, labels), dim=1)
    scores, flagged = torch.zeros(len(features), dtype=torch.float64), torch.zeros(len(features), dtype=torch.bool)
    for index in each_class(labels):
        distances = torch.cdist(features[index], features[index]).sort(1).values
        of_class = -distances[:, min(k, len(index) - 1)]
        scores[index] = of_class
        flagged[index] = of_class > of_class.quantile(cut)
    return Detection(scores, flagged)
