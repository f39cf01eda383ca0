"""The baseline that a detector must beat: images that lie where their class is densest."""

import torch
from torch import Tensor
from torch.nn.functional import normalize

from ..common.detection import Detection, check_features, each_class

__all__ = ["class_density"]


def class_density(features: Tensor, labels: Tensor, *, k: int = 10, cut: float = 0.85) -> Detection:
    """Minus the distance, on the unit sphere, to the ``k``-th nearest image of the same class: triggered images look
    alike. Flagged above the ``cut`` quantile of their class. Knows nothing of backdoors.

    Args:
        features: ``(n, d)``. labels: int64 ``(n,)``. In classes of ``k`` images or fewer, the farthest counts.
    """
    features = normalize(check_features(features, labels), dim=1)
    scores, flagged = torch.zeros(len(features), dtype=torch.float64), torch.zeros(len(features), dtype=torch.bool)
    for index in each_class(labels):
        distances = torch.cdist(features[index], features[index]).sort(1).values
        of_class = -distances[:, min(k, len(index) - 1)]
        scores[index] = of_class
        flagged[index] = of_class > of_class.quantile(cut)
    return Detection(scores, flagged)
