"""Augmentations with one step only, and with all."""

import numpy as np
from intertwine.training.augment import Augment

LUMA = np.array([0.299, 0.587, 0.114])
OFF = {"crop": 1.0, "flip": 0.0, "jitter": 0.0, "hue": 0.0, "jitter_p": 0.0, "grayscale": 0.0}


ON = {"crop": 0.2, "flip": 0.5, "jitter": 0.4, "hue": 0.1, "jitter_p": 0.8, "grayscale": 0.2}


def only(**parameters) -> Augment:
    return Augment(**OFF | parameters)
