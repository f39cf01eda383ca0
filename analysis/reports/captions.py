"""Captions of figures, by name: ``captions.toml``."""

import importlib.resources
import tomllib

__all__ = ["CAPTIONS"]

CAPTIONS: dict[str, str] = tomllib.loads(
    importlib.resources.files(__package__).joinpath("captions.toml").read_text(encoding="utf-8")
)
