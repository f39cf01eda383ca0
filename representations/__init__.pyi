from .capture import capture
from .embedding import pca, umap
from .encoders import Encoder, EncoderSpec, build_encoder, reinitialised, wrap
from .errors import InputError
from .evaluators import accuracy, attack_success, knn_predict, ridge_predict, success_rates
from .graph import NeighbourGraph, neighbour_graph, pairwise_distances
from .similarity import cka, cka_layers

__all__ = [
    "Encoder",
    "EncoderSpec",
    "InputError",
    "NeighbourGraph",
    "accuracy",
    "attack_success",
    "build_encoder",
    "capture",
    "cka",
    "cka_layers",
    "knn_predict",
    "neighbour_graph",
    "pairwise_distances",
    "pca",
    "reinitialised",
    "ridge_predict",
    "success_rates",
    "umap",
    "wrap",
]
