"""How alike two representations of the same images are. One measure a file."""

from .cka import cka

__all__ = ["cka"]
