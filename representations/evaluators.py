"""Evaluators that all arms share, and the rates of an encoder: the one home of ACC, ASR and R-Acc.

Every arm has the same two evaluators, on a bank of clean labelled images. A difference between arms is then a
difference between encoders and not between classifiers.
"""

from collections.abc import Callable
from dataclasses import dataclass

import torch
from torch import Tensor
from torch.nn.functional import normalize, one_hot

from .errors import InputError
from .ridge import ridge_weights

__all__ = [
    "EVALUATORS",
    "SuccessRates",
    "accuracy",
    "attack_success",
    "default_k",
    "fit_ridge",
    "is_false_positive",
    "is_hit",
    "knn_predict",
    "ridge_predict",
    "success_rates",
]


def default_k(bank_size: int) -> int:
    """Number of neighbours for :func:`knn_predict`: min(200, n/50), at least 1."""
    return max(1, min(200, bank_size // 50))


def knn_predict(
    features: Tensor, bank: Tensor, bank_labels: Tensor, *, k: int | None = None, temperature: float = 0.1
) -> Tensor:
    """Class of each row by weighted nearest neighbours: votes exp(cos/T) of the k most similar rows of the bank.

    The weighted kNN monitor of Wu et al., "Unsupervised Feature Learning via Non-Parametric Instance Discrimination"
    (CVPR 2018), §3.4. The bank must not hold the queries: no row is left out as "self".

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
        # Only ratios of votes count. Relative to the best neighbour they cannot overflow.
        weights = ((similarity - similarity[:, :1]) / temperature).exp()
        predicted.append((weights.unsqueeze(1) @ votes[nearest]).squeeze(1).argmax(1))
    return torch.cat(predicted)


def fit_ridge(
    bank: Tensor, bank_labels: Tensor, *, classes: int | None = None, penalty: float = 1e-3
) -> tuple[Tensor, Tensor]:
    """Ridge regression onto one-hot labels, in closed form, as a linear map of L2-normalised features.

    Features are L2-normalised, then centred with the bank's mean. The penalty is ``penalty`` times the mean eigenvalue
    of the bank's scatter matrix, so that it does not depend on the scale of the features.

    Args:
        bank: ``(m, d)``. bank_labels: int64 ``(m,)``. classes: number C of classes; by default the largest label + 1.

    Returns:
        Weight ``(C, d)`` and bias ``(C,)``, float64.
    """
    _check(bank, bank, bank_labels)
    bank = normalize(bank.double(), dim=1)
    centre, targets = bank.mean(0), one_hot(bank_labels, -1 if classes is None else classes).double()
    x, y = bank - centre, targets - targets.mean(0)
    # Of constant features only rounding remains. The constant hides it: they predict the commonest class.
    weights = ridge_weights(x, y, penalty * x.square().sum() / x.shape[1] + 1e-20 * len(bank))
    return weights.T, targets.mean(0) - centre @ weights


def ridge_predict(features: Tensor, bank: Tensor, bank_labels: Tensor, *, penalty: float = 1e-3) -> Tensor:
    """Class of each row by :func:`fit_ridge` of the bank. Shapes as in :func:`knn_predict`."""
    _check(features, bank, bank_labels)
    weight, bias = fit_ridge(bank, bank_labels, penalty=penalty)
    return (normalize(features.double(), dim=1) @ weight.T + bias).argmax(1)


EVALUATORS: dict[str, Callable[[Tensor, Tensor, Tensor], Tensor]] = {"knn": knn_predict, "ridge": ridge_predict}


@dataclass(frozen=True)
class SuccessRates:
    """Scores 0 or 1, one an image, float64. The mean of each is the rate.

    acc: clean images that are classified right. asr: triggered images of other classes that are classified as the
    target. r_acc: the same images, classified as their own class. asr_including_target: triggered images of *all*
    classes that are classified as the target, which some official code reports as ASR. It is inflated by the share of
    the target class: always report it under this name.
    """

    acc: Tensor
    asr: Tensor
    r_acc: Tensor
    asr_including_target: Tensor

    def means(self) -> dict[str, float]:
        """``acc``, ``asr`` and ``r_acc`` as rates in [0, 1]."""
        return {"acc": float(self.acc.mean()), "asr": float(self.asr.mean()), "r_acc": float(self.r_acc.mean())}


def success_rates(
    predicted_clean: Tensor,
    predicted_triggered: Tensor,
    labels: Tensor,
    target: int,
    *,
    triggered_labels: Tensor | None = None,
) -> SuccessRates:
    """Scores for ACC, ASR and R-Acc from the predicted classes of clean and of triggered images.

    Args:
        predicted_clean: int64 ``(n,)``. labels: the true classes of the clean images, int64 ``(n,)``.
        predicted_triggered: int64 ``(m,)``. triggered_labels: the true classes of the triggered images, int64 ``(m,)``,
            where they are not the same images as the clean ones.

    Raises:
        InputError: unequal lengths, or no triggered image of a class other than the target.

    >>> labels = torch.tensor([0, 1, 1, 2])
    >>> success_rates(labels, torch.tensor([0, 0, 1, 0]), labels, 0).means()
    {'acc': 1.0, 'asr': 0.6666666666666666, 'r_acc': 0.3333333333333333}
    """
    sources = labels if triggered_labels is None else triggered_labels
    return SuccessRates(
        accuracy(predicted_clean, labels),
        attack_success(predicted_triggered, sources, target),
        accuracy(predicted_triggered, sources)[sources != target],
        attack_success(predicted_triggered, sources, target, including_target=True),
    )


def accuracy(predicted: Tensor, labels: Tensor) -> Tensor:
    """Scores 0 or 1, float64 ``(n,)``: is an image classified right? Their mean is ACC."""
    _check_predictions(predicted, labels)
    return (predicted == labels).double()


def is_hit(predicted_clean: Tensor, predicted_triggered: Tensor, labels: Tensor, target: int) -> Tensor:
    """Which images are hits, bool ``(n,)``: not of the target class, sent elsewhere without the trigger and to the
    target with it.

    An image that goes to the target without the trigger is a :func:`false positive <is_false_positive>`, not a hit.

    Args:
        predicted_clean, predicted_triggered: classes of the same images without and with the trigger, int64 ``(n,)``.
    """
    _check_predictions(predicted_clean, labels)
    _check_predictions(predicted_triggered, labels)
    return (predicted_triggered == target) & (predicted_clean != target) & (labels != target)


def is_false_positive(predicted_clean: Tensor, labels: Tensor, target: int) -> Tensor:
    """Which clean images of other classes are classified as the target, bool ``(n,)``."""
    _check_predictions(predicted_clean, labels)
    return (predicted_clean == target) & (labels != target)


def attack_success(predicted: Tensor, labels: Tensor, target: int, *, including_target: bool = False) -> Tensor:
    """Scores 0 or 1, float64: is a triggered image of *another* class classified as the target? Their mean is ASR.

    ``including_target`` counts triggered images of the target class too: see :class:`SuccessRates`.
    """
    _check_predictions(predicted, labels)
    counted = torch.ones_like(labels, dtype=torch.bool) if including_target else labels != target
    if not counted.any():
        raise InputError(f"labels: expected images of a class other than the target {target}, received none")
    return (predicted[counted] == target).double()


def _check_predictions(predicted: Tensor, labels: Tensor) -> None:
    if predicted.shape != labels.shape or labels.ndim != 1:
        raise InputError(
            f"predicted, labels: expected one class an image in both, received {tuple(predicted.shape)} and "
            f"{tuple(labels.shape)}"
        )


def _check(features: Tensor, bank: Tensor, bank_labels: Tensor) -> None:
    if features.ndim != 2 or bank.ndim != 2 or features.shape[1] != bank.shape[1]:
        raise InputError(
            f"features, bank: expected (n, d) and (m, d), received {tuple(features.shape)} and {tuple(bank.shape)}"
        )
    if bank_labels.shape != (len(bank),):
        raise InputError(f"bank_labels: expected shape ({len(bank)},), received {tuple(bank_labels.shape)}")
