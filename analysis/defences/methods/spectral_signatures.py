"""Spectral Signatures (Tran, Li, Madry, NeurIPS 2018): poisons stand out along the direction in which a class varies
most."""

import torch
from torch import Tensor

from ..common.detection import Detection, check_features, each_class

__all__ = ["spectral_signatures"]


def spectral_signatures(features: Tensor, labels: Tensor, *, cut: float = 0.85) -> Detection:
    """Squared projection of each image's features, centred in their class, on the class's top right singular vector;
    flagged above the ``cut`` quantile of its class (as BackdoorBench does: always 15 % of a class).

    Args:
        features: ``(n, d)``. labels: int64 ``(n,)``, what the training images are said to be.
    """
    features = check_features(features, labels)
    scores, flagged = torch.zeros(len(features), dtype=torch.float64), torch.zeros(len(features), dtype=torch.bool)
    for index in each_class(labels):
        centred = features[index] - features[index].mean(0)
        _, _, right = torch.linalg.svd(centred, full_matrices=False)
        of_class = (centred @ right[0]).square()
        scores[index] = of_class
        flagged[index] = of_class > of_class.quantile(cut)
    return Detection(scores, flagged)
