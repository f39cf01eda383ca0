"""Defences, one a file: detectors of poisoned training images, from features, labels or images to scores, and
mitigations, from encoder to encoder. What a defender has to work with is a :class:`Suspect`."""

from .activation_clustering import activation_clustering
from .beatrix import beatrix
from .clp import clp
from .density import class_density
from .detection import Detection
from .distillation import distillation
from .erased import erased, oracle_eraser
from .finetuning import fine_pruning, fine_tuning
from .neural_cleanse import ClassTriggers, neural_cleanse
from .scan import scan
from .spectral import spectral_signatures
from .strip import strip
from .suspect import Suspect, suspect_of
from .view import blurred, luminance_only

__all__ = [
    "ClassTriggers",
    "Detection",
    "Suspect",
    "activation_clustering",
    "beatrix",
    "blurred",
    "class_density",
    "clp",
    "distillation",
    "erased",
    "fine_pruning",
    "fine_tuning",
    "luminance_only",
    "neural_cleanse",
    "oracle_eraser",
    "scan",
    "spectral_signatures",
    "strip",
    "suspect_of",
]
