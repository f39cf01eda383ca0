"""Encoders, what they represent, and how representations compare.

>>> import torch
>>> from intertwine.representations import EncoderSpec, build_encoder, capture
>>> encoder = build_encoder(EncoderSpec("resnet8", width=8, image_size=16))
>>> images = torch.zeros(4, 3, 16, 16, dtype=torch.uint8)
>>> {layer: tuple(x.shape) for layer, x in capture(encoder, images, layers=["layer1", "features"]).items()}
{'layer1': (4, 16), 'features': (4, 64)}

More in its subpackages: ``similarity`` (how alike two representations are) and ``geometry`` (how one is made).
"""

from .capture import capture
from .embedding import pca, umap
from .encoders import Encoder, EncoderSpec, build_encoder, reinitialised, wrap
from .errors import InputError
from .evaluators import accuracy, attack_success, knn_predict, ridge_predict
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
    "umap",
    "wrap",
]
