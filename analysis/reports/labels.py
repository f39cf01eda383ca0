"""What figures and tables call measures, references, subsets and layers."""

from ...representations.encoders import FEATURES
from ..results.measures import LABELS as MEASURES

__all__ = ["LABELS", "REFERENCES"]

REFERENCES = {
    "apart": "apart",
    "together": "together",
    "benign": "benign twin",
    "false-positives": "false positives",
    "random-trigger": "random trigger",
    "random-init": "random weights",
    "raw-pixels": "raw pixels",
}
"""The references of a reading that reports show, and their titles."""

SUBSETS = {
    "clean": "clean images",
    "clean_other": "clean images of other classes",
    "clean_target": "clean target images",
    "triggered": "triggered images",
    "triggered_target": "triggered target images",
    "triggered_all": "all triggered images",
    "hits": "hits",
    "false_positives": "false positives",
    "poisons": "poisons",
    "poison_twins": "clean twins of the poisons",
    "clean_other~triggered": "clean and triggered images",
    "clean_target~triggered_target": "clean and triggered target images",
}
CONTRASTED = {"mixing_ratio": "mixing ratio", "interference_size": "size of interference"}
"""Readings that claims form of others."""
LAYERS = {FEATURES: "output", "all": "all weights"}

LABELS: dict[str, str] = {**MEASURES, **CONTRASTED, **REFERENCES, **SUBSETS, **LAYERS}
