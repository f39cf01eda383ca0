"""Classifiers fitted to clean images, for mitigations: the same for all arms."""

from collections.abc import Callable

import torch
from torch import Tensor, nn
from torch.nn.functional import normalize

from ....probes.logistic import fit_logistic
from ....representations.capture import capture
from ....representations.encoders import FEATURES, Encoder
from ....representations.evaluators import accuracy, knn_predict
from ....representations.seeds import generator

__all__ = ["Head", "clean_head", "held_out_acc"]


class Head(nn.Module):
    """A linear classifier of normalised features: ``(n, d)`` → logits ``(n, c)``."""

    def __init__(self, weight: Tensor, bias: Tensor) -> None:
        super().__init__()
        self.weight, self.bias = nn.Parameter(weight.float()), nn.Parameter(bias.float())

    def forward(self, features: Tensor) -> Tensor:
        return normalize(features, dim=1) @ self.weight.T + self.bias


def clean_head(encoder: Encoder, clean: Tensor, labels: Tensor) -> tuple[Head, Tensor]:
    """Fit logistic regression to the features of clean images.

    Returns:
        The head, and the column of its logits for each image, int64 ``(m,)``.

    Args:
        clean: uint8 ``(m, 3, H, W)``. labels: int64 ``(m,)``.
    """
    _, columns = labels.unique(return_inverse=True)
    features = normalize(capture(encoder, clean, layers=[FEATURES])[FEATURES].double(), dim=1)
    probe = fit_logistic(features, columns)
    return Head(probe.weight, probe.bias).to(encoder.mean.device), columns.to(encoder.mean.device)


def held_out_acc(encoder: Encoder, clean: Tensor, labels: Tensor, *, seed: int, purpose: str) -> Callable[[], float]:
    """A function that computes the present ACC of the encoder, for pruning.

    ACC is that of weighted kNN on half of the clean images; the other half is its bank.
    """
    bank, held_out = torch.randperm(len(clean), generator=generator(seed, purpose)).tensor_split(2)

    def acc() -> float:
        features = capture(encoder, clean, layers=[FEATURES])[FEATURES]
        predicted = knn_predict(features[held_out], features[bank], labels[bank])
        return float(accuracy(predicted, labels[held_out]).mean())

    return acc
