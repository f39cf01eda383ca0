"""The MLP between tap and loss, the same in every arm, so that the tap is equally far from every loss."""

from torch import nn


def mlp(dim: int, hidden: int, out: int) -> nn.Sequential:
    """Linear → BatchNorm → ReLU → Linear, ``(n, dim)`` → ``(n, out)``."""
    return nn.Sequential(nn.Linear(dim, hidden), nn.BatchNorm1d(hidden), nn.ReLU(), nn.Linear(hidden, out))
