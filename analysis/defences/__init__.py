"""Defences: detectors, inspections and mitigations, one a file.

Detectors score training images. Inspections look for a trigger in an encoder. Mitigations make a new encoder. What a
defender has is a :class:`Defender`.
"""

from .common.defender import Defender, defender_of
from .common.detection import Detection
from .common.known_training import KnownTraining
from .methods.abl import abl_isolation, abl_unlearning
from .methods.activation_clustering import activation_clustering
from .methods.anp import anp
from .methods.beatrix import beatrix
from .methods.class_density import class_density
from .methods.clp import clp
from .methods.decree import EncoderTrigger, decree
from .methods.distillation import distillation
from .methods.fine_pruning import fine_pruning
from .methods.fine_tuning import fine_tuning
from .methods.i_bau import ibau
from .methods.luminance_blur import blurred, gaussian, luma, luminance_only
from .methods.nad import nad
from .methods.neural_cleanse import ClassTriggers, neural_cleanse
from .methods.scan import scan
from .methods.spectral_signatures import spectral_signatures
from .methods.strip import strip
from .methods.trigger_erasure import erased, estimated_eraser, oracle_eraser

__all__ = [
    "ClassTriggers",
    "Defender",
    "Detection",
    "EncoderTrigger",
    "KnownTraining",
    "abl_isolation",
    "abl_unlearning",
    "activation_clustering",
    "anp",
    "beatrix",
    "blurred",
    "class_density",
    "clp",
    "decree",
    "defender_of",
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
]
