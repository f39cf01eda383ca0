"""The MLP between the encoder's output and the loss, the same in every arm."""

from torch import nn


def mlp(dim: int, hidden: int, out: int, *, norm: bool = True) -> nn.Sequential:
    """Linear → BatchNorm (or nothing) → ReLU → Linear, ``(n, dim)`` → ``(n, out)``."""
    middle = nn.BatchNorm1d(hidden) if norm else nn.Identity()
    return nn.Sequential(nn.Linear(dim, hidden), middle, nn.ReLU(), nn.Linear(hidden, out))
