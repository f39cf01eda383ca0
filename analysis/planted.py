"""Representations with a planted truth, to calibrate readings on: two dials that move independently of each other.

- **reach** a: the share of triggered non-targets that arrive at the target class; the others stay with their own class.
- **residual** s: how far triggered inputs end up beside the distribution they go to, in units of τ = 4 within-class
  standard deviations, along a direction of their own: 0 inside it, 1 clearly off.

A reach by which *every* point moved part of the way would not be independent of the residual: stopping short of the
target is an offset from it. (The planting of single images arriving or not is also what P⁺ tells apart.)
"""

import math

import torch
from torch import Tensor

from ..representations.evaluate import knn_predict
from ..representations.seeds import generator
from .readings import Features

__all__ = ["REACHES", "RESIDUALS", "planted_features"]

TARGET, CLASSES, WIDTH = 0, 5, 32
SEPARATION = 6.0  # between class means, in within-class sds: overlapping, but told apart
OFFSET = 4.0  # τ, at residual 1

RESIDUALS = (0.0, 0.25, 0.5, 0.75, 1.0)
REACHES = (0.5, 0.625, 0.75, 0.875, 1.0)
"""Down to a half: P⁺ then holds as many images as C_t, and mixing compares sets of one size at every setting."""


def planted_features(n: int, *, reach: float, residual: float, seed: int = 0, intervals: bool = False) -> Features:
    """Features of ``n`` held-out target images and ``2n`` others, clean and triggered, d = 32.

    Classes are isotropic normal with standard deviation 1 about orthogonal means; the trigger keeps an image's own
    within-class noise. P⁺ is what the weighted kNN evaluator sends to the target, as in a panel.
    """
    stream = generator(seed, "planted-features", n)

    def normal(*shape: int) -> Tensor:
        return torch.randn(*shape, generator=stream, dtype=torch.float64)

    axes = torch.linalg.qr(normal(WIDTH, CLASSES + 1)).Q.T
    means, own = axes[:CLASSES] * SEPARATION / math.sqrt(2), axes[CLASSES]
    labels = torch.cat([torch.full((n,), TARGET), 1 + torch.arange(2 * n) % (CLASSES - 1)])
    noise = normal(3 * n, WIDTH)
    clean = means[labels] + noise
    arrives = (torch.rand(3 * n, generator=stream) < reach).unsqueeze(1)
    triggered = torch.where(arrives, means[TARGET] + noise, clean) + residual * OFFSET * own
    bank_labels = torch.arange(50 * CLASSES) % CLASSES
    bank = means[bank_labels] + normal(len(bank_labels), WIDTH)
    others = labels != TARGET
    hits = (knn_predict(triggered, bank, bank_labels) == TARGET) & others
    augmented = triggered[others] + 0.3 * normal(2 * n, WIDTH)
    return Features(clean, triggered, augmented, labels, TARGET, hits, bank, bank_labels, seed, intervals)
