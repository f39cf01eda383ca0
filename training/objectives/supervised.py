"""Cross-entropy on labels."""

from torch import Tensor, nn
from torch.nn.functional import cross_entropy

from ._loss import Loss
from ._mlp import mlp

__all__ = ["Supervised"]


class Supervised(nn.Module):
    """Cross-entropy of an MLP classifier: one view an image; ``head`` maps features to logits ``(n, classes)``."""

    def __init__(self, dim: int, hidden: int, classes: int) -> None:
        super().__init__()
        self.head = mlp(dim, hidden, classes)

    def forward(self, views: Tensor, labels: Tensor) -> Loss:
        """views: features ``(1, n, d)``; labels: int64 ``(n,)``."""
        per_sample = cross_entropy(self.head(views[0]).float(), labels, reduction="none")
        return Loss(per_sample.mean(), per_sample.detach())
