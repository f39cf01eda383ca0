"""SimSiam (Chen and He, CVPR 2021)."""

from torch import Tensor, nn

from ._loss import Loss
from ._mlp import mlp
from .byol import regression_loss

__all__ = ["SimSiam"]


class SimSiam(nn.Module):
    """Two views an image, no labels, no negatives, no slow copy.

    A predictor on the projection of one view predicts the projection of the other, which gets no gradient. The loss of
    an image is the mean of 2 − 2·cos over both directions: twice the paper's −cos, plus 2. As in the paper's appendix
    the projector ends in a BatchNorm without affine map, and the predictor is a bottleneck of a quarter of the width.
    Without either it collapses.
    """

    def __init__(self, dim: int, hidden: int, out: int) -> None:
        super().__init__()
        self.projector = nn.Sequential(*mlp(dim, hidden, out), nn.BatchNorm1d(out, affine=False))
        self.predictor = mlp(out, max(1, out // 4), out)

    def forward(self, views: Tensor, labels: Tensor) -> Loss:
        """views: features ``(2, n, d)``; labels are ignored."""
        z = self.projector(views.flatten(0, 1))
        (p_first, p_second), (z_first, z_second) = self.predictor(z).chunk(2), z.chunk(2)
        per_sample = (regression_loss(p_first, z_second) + regression_loss(p_second, z_first)) / 2
        return Loss(per_sample.mean(), per_sample.detach())

    def project(self, features: Tensor) -> Tensor:
        return self.projector(features)
