"""How alike two representations of the same images are. One measure a file."""

from .cka import cka, cka_of_kept, gram
from .streaming import CKA, CKAMatrix, CKAPairs

__all__ = ["CKA", "CKAMatrix", "CKAPairs", "cka", "cka_of_kept", "gram"]
