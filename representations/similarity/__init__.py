"""How similar two representations of the same images are. One measure a file.

Similarities, larger for more similar: cka, minibatch_cka, cca, svcca, rsa, mutual_knn, cknna, procrustes_score. A
distance, 0 for equal ones: procrustes_distance.
"""

from .cca import canonical_correlations, cca, svcca
from .cka import cka, cka_masked, gram
from .layers import cka_layers
from .minibatch import MinibatchCKA, minibatch_cka
from .neighbours import cknna, mutual_knn, mutual_knn_of_graphs
from .procrustes import procrustes_distance, procrustes_score
from .rsa import dissimilarities, rsa, rsa_masked
from .streaming import CKA, CKAMatrix, CKAPairs

__all__ = [
    "CKA",
    "CKAMatrix",
    "CKAPairs",
    "MinibatchCKA",
    "canonical_correlations",
    "cca",
    "cka",
    "cka_layers",
    "cka_masked",
    "cknna",
    "dissimilarities",
    "gram",
    "minibatch_cka",
    "mutual_knn",
    "mutual_knn_of_graphs",
    "procrustes_distance",
    "procrustes_score",
    "rsa",
    "rsa_masked",
    "svcca",
]
