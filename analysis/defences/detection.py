"""What a detector says of training images, and what all detectors check first."""

from collections.abc import Iterator
from dataclasses import dataclass

import torch
from torch import Tensor

from ...representations.errors import InputError

__all__ = ["Detection", "check_features", "each_class"]


@dataclass(frozen=True)
class Detection:
    """``scores`` float64 ``(n,)``: higher is more suspicious. ``flagged`` bool ``(n,)``: by the rule's own
    threshold."""

    scores: Tensor
    flagged: Tensor


def each_class(labels: Tensor) -> Iterator[Tensor]:
    """The indices of each class's images, classes ascending."""
    for label in labels.unique():
        yield (labels == label).nonzero().flatten()


def check_features(
    features: Tensor, labels: Tensor, *, least: int = 2, names: tuple[str, str] = ("features", "labels")
) -> Tensor:
    """The features as float64, if they can be looked at class by class. ``names``: of the two in what goes wrong.

    Raises:
        InputError: other shapes than ``(n, d)`` and ``(n,)``, values that are not finite, a class of fewer than
            ``least`` images.
    """
    if features.ndim != 2 or labels.shape != (len(features),):
        raise InputError(
            f"{names[0]}, {names[1]}: expected (n, d) and (n,), received {tuple(features.shape)} and {tuple(labels.shape)}"
        )
    if not torch.isfinite(features).all():
        raise InputError(f"{names[0]}: expected finite values, received NaN or infinity")
    counts = labels.unique(return_counts=True)
    if len(labels) == 0 or int(counts[1].min()) < least:
        short = [f"{int(c)} of class {int(k)}" for k, c in zip(*counts, strict=True) if c < least]
        raise InputError(
            f"{names[1]}: expected at least {least} images of a class, received {', '.join(short) or 'none'}"
        )
    return features.double()
