"""What an encoder's features can tell: the evaluators that all arms share, and the rates read off them.

Every arm, supervised or not, is judged by the same two evaluators on a bank of clean labelled images, so that a
difference between arms is a difference between encoders and not between classifiers.
"""

from collections.abc import Callable

import torch
from torch import Tensor
from torch.nn.functional import normalize, one_hot

from .errors import InputError

__all__ = ["EVALUATORS", "accuracy", "attack_success", "default_k", "knn_predict", "ridge_predict"]


def default_k(bank_size: int) -> int:
    """Neighbours for :func:`knn_predict`: min(200, n/50), at least 1."""
    return max(1, min(200, bank_size // 50))


def knn_predict(
    features: Tensor, bank: Tensor, bank_labels: Tensor, *, k: int | None = None, temperature: float = 0.1
) -> Tensor:
    """Class of each row by weighted nearest neighbours: votes exp(cos/T) of the k most similar rows of the bank.

    The weighted kNN monitor of Wu et al., "Unsupervised Feature Learning via Non-Parametric Instance Discrimination"
    (CVPR 2018), §3.4. The bank must not hold the queries themselves: nothing is dropped as "self".

    Args:
        features: ``(n, d)``. bank: ``(m, d)``. bank_labels: int64 ``(m,)``. k: min(200, m/50) by default.

    Returns:
        int64 ``(n,)``.
    """
    _check(features, bank, bank_labels)
    k = default_k(len(bank)) if k is None else k
    if not 1 <= k <= len(bank):
        raise InputError(f"k: expected 1 to {len(bank)} (the bank's size), received {k}")
    bank = normalize(bank.double(), dim=1)
    votes = one_hot(bank_labels).double()
    predicted = []
    for chunk in normalize(features.double(), dim=1).split(2048):
        similarity, nearest = (chunk @ bank.T).topk(k, dim=1)
        # Only ratios of votes count: measured from the best neighbour they cannot overflow.
        weights = ((similarity - similarity[:, :1]) / temperature).exp()
        predicted.append((weights.unsqueeze(1) @ votes[nearest]).squeeze(1).argmax(1))
    return torch.cat(predicted)


def ridge_predict(features: Tensor, bank: Tensor, bank_labels: Tensor, *, penalty: float = 1e-3) -> Tensor:
    """Class of each row by ridge regression onto the one-hot labels of the bank, in closed form.

    Features are L2-normalised, then centred with the bank's mean; the penalty is ``penalty`` times the mean eigenvalue
    of the bank's covariance, so that it does not depend on the scale of the features. Shapes as in :func:`knn_predict`.
    """
    _check(features, bank, bank_labels)
    bank, features = normalize(bank.double(), dim=1), normalize(features.double(), dim=1)
    centre, targets = bank.mean(0), one_hot(bank_labels).double()
    x, y = bank - centre, targets - targets.mean(0)
    # What is left of constant features is rounding; the constant keeps that from being read: they predict the
    # commonest class.
    ridge = penalty * x.square().sum() / x.shape[1] + 1e-20 * len(bank)
    # The same weights from whichever of the two matrices is smaller: pixels may be many.
    wide = x.shape[1] > len(x)
    gram = x @ x.T if wide else x.T @ x
    gram.diagonal().add_(ridge)
    weights = x.T @ torch.linalg.solve(gram, y) if wide else torch.linalg.solve(gram, x.T @ y)
    return ((features - centre) @ weights + targets.mean(0)).argmax(1)


EVALUATORS: dict[str, Callable[[Tensor, Tensor, Tensor], Tensor]] = {"knn": knn_predict, "ridge": ridge_predict}


def accuracy(predicted: Tensor, labels: Tensor) -> Tensor:
    """ACC (or R-Acc, on triggered images) as scores 0 or 1 an image, float64 ``(n,)``; their mean is the rate."""
    return (predicted == labels).double()


def attack_success(predicted: Tensor, labels: Tensor, target: int, *, including_target: bool = False) -> Tensor:
    """ASR as scores 0 or 1, float64: whether a triggered image of *another* class is predicted as the target.

    ``including_target`` counts triggered target images too, as some official code does: it inflates ASR by the share of
    the target class and is named ``asr_including_target`` wherever it is reported.
    """
    keep = torch.ones_like(labels, dtype=torch.bool) if including_target else labels != target
    if not keep.any():
        raise InputError(f"labels: expected images of a class other than the target {target}, received none")
    return (predicted[keep] == target).double()


def _check(features: Tensor, bank: Tensor, bank_labels: Tensor) -> None:
    if features.ndim != 2 or bank.ndim != 2 or features.shape[1] != bank.shape[1]:
        raise InputError(
            f"features, bank: expected (n, d) and (m, d), received {tuple(features.shape)} and {tuple(bank.shape)}"
        )
    if bank_labels.shape != (len(bank),):
        raise InputError(f"bank_labels: expected shape ({len(bank)},), received {tuple(bank_labels.shape)}")
