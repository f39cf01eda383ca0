"""How alike two representations of the same images are. One measure a file."""

from .cka import cka, cka_of_kept, gram

__all__ = ["cka", "cka_of_kept", "gram"]
