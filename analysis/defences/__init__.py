"""Defences, one a file: detectors of poisoned training images as pure functions of features, labels or images."""

from .activation_clustering import activation_clustering
from .beatrix import beatrix
from .detection import Detection
from .scan import scan
from .spectral import spectral_signatures
from .strip import strip

__all__ = ["Detection", "activation_clustering", "beatrix", "scan", "spectral_signatures", "strip"]
