"""Probes: what can be read from an encoder, how its two tasks change its weights, and intervals for both.

>>> import torch
>>> from intertwine.probes import mean_interval
>>> low, high = mean_interval(torch.zeros(60))     # no success in sixty tries
>>> low, round(high, 2)
(0.0, 0.07)
"""

from .alignment import Alignment, align
from .attribution import grad_cam, integrated_gradients
from .attribution_scores import changed_pixels, frequency_energy, trigger_localisation
from .erasure import erasing
from .erasure_cost import erasure_cost
from .gradients import (
    alignment_grams,
    block_gradients,
    gradient_blocks,
    gram_matrices,
    layer_weights,
    own_loss,
    task_loss,
)
from .influence import influence, self_influence
from .inlp import fit_inlp
from .layer_probes import class_probes, trigger_probes
from .leace import LeaceFitter, fit_leace
from .linear import LinearHead, Separability, ridge_head, source_accuracy, trigger_separability
from .lipschitz import channel_lipschitz
from .logistic import class_probe, fit_logistic, trigger_probe
from .mdl import codelength, trigger_codelength
from .neurons import NeuronOverlap, neuron_overlap
from .nulls import (
    Interval,
    jackknife_interval,
    mean_interval,
    rate_interval,
    resampled_interval,
    swap_within_pairs,
    t_interval,
)
from .patching import patch

__all__ = [
    "Alignment",
    "Interval",
    "LeaceFitter",
    "LinearHead",
    "NeuronOverlap",
    "Separability",
    "align",
    "alignment_grams",
    "block_gradients",
    "changed_pixels",
    "channel_lipschitz",
    "class_probe",
    "class_probes",
    "codelength",
    "erasing",
    "erasure_cost",
    "fit_inlp",
    "fit_leace",
    "fit_logistic",
    "frequency_energy",
    "grad_cam",
    "gradient_blocks",
    "gram_matrices",
    "influence",
    "integrated_gradients",
    "jackknife_interval",
    "layer_weights",
    "mean_interval",
    "neuron_overlap",
    "own_loss",
    "patch",
    "rate_interval",
    "resampled_interval",
    "ridge_head",
    "self_influence",
    "source_accuracy",
    "swap_within_pairs",
    "t_interval",
    "task_loss",
    "trigger_codelength",
    "trigger_localisation",
    "trigger_probe",
    "trigger_probes",
    "trigger_separability",
]
