"""Spectral Signatures (Tran, Li, Madry, NeurIPS 2018): poisons are outliers along a class's top singular vector."""

import torch
from torch import Tensor

from ..common.detection import Detection, check_features, each_class

__all__ = ["spectral_signatures"]


def spectral_signatures(features: Tensor, labels: Tensor, *, cut: float = 0.85) -> Detection:
    """Score images by the squared projection of their centred features on the top right singular vector of their class.

    Images above the ``cut`` quantile of their class are flagged, as in BackdoorBench: always 15 % of a class.

    Args:
        features: ``(n, d)``. labels: int64 ``(n,)``, labels of the training images.
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
