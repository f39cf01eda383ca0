"""Attacks that do more than put a trigger on training images. One a file."""

from .badencoder import BadEncoder

__all__ = ["BadEncoder"]
