"""Probes: what is readable in an encoder, how its tasks pull on its weights, and how sure one can be.

>>> import torch
>>> from intertwine.probes import mean_interval
>>> low, high = mean_interval(torch.zeros(60))     # no success in sixty tries
>>> low, round(high, 2)
(0.0, 0.07)
"""

from .gradients import Alignment, align, block_gradients, gradient_blocks, gram_matrices, layer_weights, task_loss
from .linear import LinearHead, Separability, ridge_head, source_accuracy, trigger_separability
from .mdl import trigger_codelength
from .nulls import Interval, jackknife_interval, mean_interval, swap_within_pairs, t_interval

__all__ = [
    "Alignment",
    "Interval",
    "LinearHead",
    "Separability",
    "align",
    "block_gradients",
    "gradient_blocks",
    "gram_matrices",
    "jackknife_interval",
    "layer_weights",
    "mean_interval",
    "ridge_head",
    "source_accuracy",
    "swap_within_pairs",
    "t_interval",
    "task_loss",
    "trigger_codelength",
    "trigger_separability",
]
