"""Defences, one a file: detectors of poisoned training images, from features, labels, images or losses to scores;
inspections of an encoder, which look for the trigger in it; and mitigations, from encoder to encoder. What a defender
has to work with is a :class:`Suspect`."""

from .abl import abl_isolation, abl_unlearning
from .activation_clustering import activation_clustering
from .anp import anp
from .beatrix import beatrix
from .clp import clp
from .decree import EncoderTrigger, decree
from .density import class_density
from .detection import Detection
from .distillation import distillation
from .erased import erased, estimated_eraser, oracle_eraser
from .fine_pruning import fine_pruning
from .fine_tuning import fine_tuning
from .ibau import ibau
from .nad import nad
from .neural_cleanse import ClassTriggers, neural_cleanse
from .own_training import OwnTraining
from .scan import scan
from .spectral import spectral_signatures
from .strip import strip
from .suspect import Suspect, suspect_of
from .view import blurred, gaussian, luma, luminance_only

__all__ = [
    "ClassTriggers",
    "Detection",
    "EncoderTrigger",
    "OwnTraining",
    "Suspect",
    "abl_isolation",
    "abl_unlearning",
    "activation_clustering",
    "anp",
    "beatrix",
    "blurred",
    "class_density",
    "clp",
    "decree",
    "distillation",
    "erased",
    "estimated_eraser",
    "fine_pruning",
    "fine_tuning",
    "gaussian",
    "ibau",
    "luma",
    "luminance_only",
    "nad",
    "neural_cleanse",
    "oracle_eraser",
    "scan",
    "spectral_signatures",
    "strip",
    "suspect_of",
]
