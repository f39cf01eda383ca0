"""The result of a detector, and the checks of its input."""

from collections.abc import Iterator
from dataclasses import dataclass

import torch
from torch import Tensor

from ....representations.errors import InputError

__all__ = ["Detection", "check_features", "each_class"]


@dataclass(frozen=True)
class Detection:
    """Scores of training images.

    scores: float64 ``(n,)``, higher for images that look poisoned. flagged: bool ``(n,)``, by the rule's own threshold.
    """

    scores: Tensor
    flagged: Tensor


def each_class(labels: Tensor) -> Iterator[Tensor]:
    """The indices of each class's images, classes ascending."""
    for label in labels.unique():
        yield (labels == label).nonzero().flatten()


def check_features(
    features: Tensor, labels: Tensor, *, least: int = 2, names: tuple[str, str] = ("features", "labels")
) -> Tensor:
    """Check features and labels, and return the features as float64.

    Args:
        names: names of the two arguments in error messages.

    Raises:
        InputError: shapes other than ``(n, d)`` and ``(n,)``; values that are not finite; a class of fewer than
            ``least`` images.
    """
    of_features, of_labels = names
    if features.ndim != 2 or labels.shape != (len(features),):
        received = f"{tuple(features.shape)} and {tuple(labels.shape)}"
        raise InputError(f"{of_features}, {of_labels}: expected (n, d) and (n,), received {received}")
    if not torch.isfinite(features).all():
        raise InputError(f"{of_features}: expected finite values, received NaN or infinity")
    classes, counts = labels.unique(return_counts=True)
    if len(labels) == 0 or int(counts.min()) < least:
        short = [f"{n} of class {c}" for c, n in zip(classes.tolist(), counts.tolist(), strict=True) if n < least]
        raise InputError(
            f"{of_labels}: expected at least {least} images of a class, received {', '.join(short) or 'none'}"
        )
    return features.double()
