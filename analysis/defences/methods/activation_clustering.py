"""Activation Clustering (Chen et al., SafeAI 2019, arXiv 1811.03728): the smaller cluster of a class is the poison."""

import warnings

import torch
from sklearn.cluster import KMeans
from sklearn.decomposition import FastICA
from sklearn.exceptions import ConvergenceWarning
from torch import Tensor

from ....representations.seeds import derive_seed
from ..common.detection import Detection, check_features, each_class

__all__ = ["activation_clustering"]


def activation_clustering(
    features: Tensor, labels: Tensor, *, components: int = 10, smallest: float = 0.35, seed: int = 0
) -> Detection:
    """Split each class into two clusters (FastICA, then k-means), and flag the smaller one if it is small enough.

    The score is one minus the share of the class in an image's cluster. The smaller cluster is flagged if its share is
    below ``smallest``. If half of a class is poisoned under its own label, the clusters are equal and nothing is
    flagged.

    Args:
        features: ``(n, d)``. labels: int64 ``(n,)``, labels of the training images.
    """
    features = check_features(features, labels)
    scores, flagged = torch.zeros(len(features), dtype=torch.float64), torch.zeros(len(features), dtype=torch.bool)
    for number, index in enumerate(each_class(labels)):
        state = derive_seed(seed, "activation-clustering", number) % 2**32
        of_class = features[index].numpy()
        rank = int(torch.linalg.matrix_rank(features[index] - features[index].mean(0)))
        if rank > components:
            with warnings.catch_warnings():
                warnings.simplefilter("ignore", ConvergenceWarning)  # the last iterate is good enough for a reduction
                of_class = FastICA(components, random_state=state, whiten="unit-variance").fit_transform(of_class)
        if rank == 0:
            continue  # a class of one point has no clusters
        cluster = torch.from_numpy(KMeans(2, n_init=10, random_state=state).fit_predict(of_class))
        share = cluster.double().mean()  # of cluster 1
        shares = torch.where(cluster == 1, share, 1 - share)
        scores[index] = 1 - shares
        flagged[index] = shares < smallest
    return Detection(scores, flagged)
