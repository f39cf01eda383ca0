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
from .energy import energy_coefficient, energy_coefficient_masked
from .fisher import fisher_ratio, fisher_ratio_masked
from .local_density import dao, kdist, slof, sparser_auc
from .mixing import Mixing, neighbour_mixing, neighbours_of
from .mixing_masked import MixingSides, mixing_masked, mixing_of_union, smaller_side_mixing
from .purity import purity
from .rank import effective_rank, eigenspectrum, rankme, spectrum_decay
from .retention import content_retention, content_retention_masked
from .silhouette import silhouette, silhouette_masked
from .subspaces import principal_angles, span_of_differences, subspace_overlap
from .uniformity import alignment, uniformity, uniformity_masked

__all__ = [
    "Mixing",
    "MixingSides",
    "TwoNN",
    "alignment",
    "class_displacements",
    "confusion_ratio",
    "content_retention",
    "content_retention_masked",
    "dao",
    "displacement_cosine",
    "displacement_cosine_masked",
    "distance_ratio",
    "distance_ratio_masked",
    "effective_rank",
    "eigenspectrum",
    "energy_coefficient",
    "energy_coefficient_masked",
    "fisher_ratio",
    "fisher_ratio_masked",
    "inverse_lid",
    "kdist",
    "mixing_masked",
    "mixing_of_union",
    "nc1",
    "nc2",
    "nc3",
    "neighbour_mixing",
    "neighbours_of",
    "principal_angles",
    "purity",
    "rankme",
    "residual_energy",
    "residual_energy_masked",
    "residual_energy_of_noise",
    "silhouette",
    "silhouette_masked",
    "slof",
    "smaller_side_mixing",
    "span_of_differences",
    "sparser_auc",
    "spectrum_decay",
    "subspace_overlap",
    "two_nn",
    "uniformity",
    "uniformity_masked",
]
