"""Attacks that need more than a trigger on some images. One a file."""

from .badencoder import BadEncoder

__all__ = ["BadEncoder"]
