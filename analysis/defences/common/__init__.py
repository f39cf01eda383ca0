"""Parts that several defences share."""

from .defender import Defender, defender_of
from .detection import Detection
from .known_training import KnownTraining

__all__ = ["Defender", "Detection", "KnownTraining", "defender_of"]
