"""Where points lie: whom a trigger moves them among, and how a representation is made.

Pure functions of features ``(n, d)``, or of a neighbour graph of them.
"""

from .collapse import nc1, nc2, nc3
from .confusion import confusion_ratio
from .dimension import TwoNN, lid_mle, two_nn
from .displacement import (
    class_displacements,
    displacement_cosine,
    displacement_cosine_of_kept,
    residual_energy,
    residual_energy_of_kept,
    residual_energy_of_noise,
)
from .distance import distance_ratio, distance_ratio_of_kept
from .fisher import fisher_ratio, fisher_ratio_of_kept
from .mixing import Mixing, neighbour_mixing
from .mixing_kept import mixing_of_kept
from .purity import purity
from .rank import effective_rank, eigenspectrum, rankme, spectrum_decay
from .silhouette import silhouette, silhouette_of_kept
from .subspaces import principal_angles, span_of_differences, subspace_overlap
from .uniformity import alignment, uniformity, uniformity_of_kept

__all__ = [
    "Mixing",
    "TwoNN",
    "alignment",
    "class_displacements",
    "confusion_ratio",
    "displacement_cosine",
    "displacement_cosine_of_kept",
    "distance_ratio",
    "distance_ratio_of_kept",
    "effective_rank",
    "eigenspectrum",
    "fisher_ratio",
    "fisher_ratio_of_kept",
    "lid_mle",
    "mixing_of_kept",
    "nc1",
    "nc2",
    "nc3",
    "neighbour_mixing",
    "principal_angles",
    "purity",
    "rankme",
    "residual_energy",
    "residual_energy_of_kept",
    "residual_energy_of_noise",
    "silhouette",
    "silhouette_of_kept",
    "span_of_differences",
    "spectrum_decay",
    "subspace_overlap",
    "two_nn",
    "uniformity",
    "uniformity_of_kept",
]
