"""Defences, one a file: detectors of poisoned training images, from features, labels or images to scores, and
mitigations, from encoder to encoder. What a defender has to work with is a :class:`Suspect`."""

from .activation_clustering import activation_clustering
from .beatrix import beatrix
from .clp import clp
from .density import class_density
from .detection import Detection
from .finetuning import fine_pruning, fine_tuning
from .scan import scan
from .spectral import spectral_signatures
from .strip import strip
from .suspect import Suspect, suspect_of
from .view import blurred, luminance_only

__all__ = [
    "Detection",
    "Suspect",
    "activation_clustering",
    "beatrix",
    "blurred",
    "class_density",
    "clp",
    "fine_pruning",
    "fine_tuning",
    "luminance_only",
    "scan",
    "spectral_signatures",
    "strip",
    "suspect_of",
]
