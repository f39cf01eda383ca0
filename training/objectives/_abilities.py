"""Optional abilities of objectives, to be tested with ``isinstance``."""

from typing import ClassVar, Protocol, runtime_checkable

from torch import Tensor, nn

__all__ = ["Follows", "HasLargeState", "HasProjector", "HasSlowCopy"]


@runtime_checkable
class HasProjector(Protocol):
    """An objective that compares projections of the features."""

    def project(self, features: Tensor) -> Tensor:
        """Features ``(n, d)`` → projections ``(n, p)``."""
        ...


@runtime_checkable
class HasSlowCopy(Protocol):
    """An objective with a copy of the encoder, whose features of the views are its third argument."""

    def slow_encoder(self) -> nn.Module:
        """The copy; it gets no gradient."""
        ...


@runtime_checkable
class Follows(Protocol):
    """An objective whose slow copy moves after each step."""

    def follow(self, encoder: nn.Module, done: float) -> None:
        """Move the copy towards ``encoder``; ``done``: the share of all steps so far, in [0, 1]."""
        ...


@runtime_checkable
class HasLargeState(Protocol):
    """An objective with state as large as the encoder, which snapshots leave out."""

    large_state: ClassVar[frozenset[str]]
    """First parts of the names of these tensors."""
