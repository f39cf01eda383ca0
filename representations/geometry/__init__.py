"""Where a trigger moves points and whom they end up among. Pure functions of features ``(n, d)``."""

from .confusion import confusion_ratio
from .displacement import (
    class_displacements,
    displacement_cosine,
    displacement_cosine_of_kept,
    residual_energy,
    residual_energy_of_kept,
    residual_energy_of_noise,
)
from .distance import distance_ratio, distance_ratio_of_kept
from .mixing import Mixing, neighbour_mixing
from .mixing_kept import mixing_of_kept
from .silhouette import silhouette, silhouette_of_kept

__all__ = [
    "Mixing",
    "class_displacements",
    "confusion_ratio",
    "displacement_cosine",
    "displacement_cosine_of_kept",
    "distance_ratio",
    "distance_ratio_of_kept",
    "mixing_of_kept",
    "neighbour_mixing",
    "residual_energy",
    "residual_energy_of_kept",
    "residual_energy_of_noise",
    "silhouette",
    "silhouette_of_kept",
]
