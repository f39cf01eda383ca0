"""What figures and tables call measures, references, subsets and layers."""

from ...representations.encoders import FEATURES
from ..results.measures import LABELS as MEASURES

__all__ = ["DEFENCES", "LABELS", "REFERENCES", "WAYS"]

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
DEFENCES = {
    "none": "no treatment",
    "activation-clustering": "Activation Clustering",
    "spectral": "Spectral Signatures",
    "scan": "SCAn",
    "beatrix": "Beatrix",
    "strip": "STRIP",
    "abl": "ABL",
    "class-density": "class density",
    "neural-cleanse": "Neural Cleanse",
    "decree": "DECREE",
    "fine-tuning": "fine-tuning",
    "fine-pruning": "Fine-Pruning",
    "clp": "CLP",
    "anp": "ANP",
    "nad": "NAD",
    "i-bau": "I-BAU",
    "abl-unlearning": "ABL unlearning",
    "luminance": "luminance only",
    "luminance-in-training": "luminance, in training",
    "blur-in-training": "blur, in training",
    "without-scan": "without SCAn's finds",
    "without-spectral": "without Spectral's finds",
    "estimated-erasure": "erasure, estimated",
    "inverted-erasure": "erasure, inverted",
    "oracle-erasure": "erasure, oracle",
}
"""Defences, as they were published under."""
WAYS = {
    "ascent": "ascent on the poisons",
    "clean-finetuning": "fine-tuning on clean images",
    "benign-only": "own loss without poisons",
}
"""Ways of forgetting."""
LAYERS = {FEATURES: "output", "all": "all weights"}

LABELS: dict[str, str] = {**MEASURES, **CONTRASTED, **REFERENCES, **SUBSETS, **LAYERS}
