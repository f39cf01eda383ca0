"""The geometry of one representation: where a trigger moves points, and how classes and dimensions are laid out.

Pure functions of features ``(n, d)``, or of a neighbour graph of them.
"""

from .collapse import nc1, nc2, nc3
from .confusion import confusion_ratio
from .dimension import TwoNN, inverse_lid, two_nn
from .displacement import (
    class_displacements,
    displacement_cosine,
    displacement_cosine_masked,
    residual_energy,
    residual_energy_masked,
    residual_energy_of_noise,
)
from .distance import distance_ratio, distance_ratio_masked
from .fisher import fisher_ratio, fisher_ratio_masked
from .mixing import Mixing, neighbour_mixing
from .mixing_masked import mixing_masked
from .purity import purity
from .rank import effective_rank, eigenspectrum, rankme, spectrum_decay
from .silhouette import silhouette, silhouette_masked
from .subspaces import principal_angles, span_of_differences, subspace_overlap
from .uniformity import alignment, uniformity, uniformity_masked

__all__ = [
    "Mixing",
    "TwoNN",
    "alignment",
    "class_displacements",
    "confusion_ratio",
    "displacement_cosine",
    "displacement_cosine_masked",
    "distance_ratio",
    "distance_ratio_masked",
    "effective_rank",
    "eigenspectrum",
    "fisher_ratio",
    "fisher_ratio_masked",
    "inverse_lid",
    "mixing_masked",
    "nc1",
    "nc2",
    "nc3",
    "neighbour_mixing",
    "principal_angles",
    "purity",
    "rankme",
    "residual_energy",
    "residual_energy_masked",
    "residual_energy_of_noise",
    "silhouette",
    "silhouette_masked",
    "span_of_differences",
    "spectrum_decay",
    "subspace_overlap",
    "two_nn",
    "uniformity",
    "uniformity_masked",
]
