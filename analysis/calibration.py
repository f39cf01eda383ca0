"""Do the readings read what they are declared to read, from how many images on, and do their intervals hold?

For every calibrated reading, on representations (family B) or learners (family C) with a planted truth:

- it *follows* its dial if its values at a quarter and at three quarters of the dial's range are told apart: AUC over
  replicates at least .95, at some n; the smallest such n is printed as the detectable n;
- it is *flat* in the other dial if its mean moves over the same stretch of that dial by at most .15 of what it moves
  over its own, at the largest n.

The interval of a reading is held against the mean of the reading over all replicates at the same n: what one would read
on average, not the limit of infinitely many images.
"""

from collections.abc import Callable, Mapping, Sequence
from pathlib import Path

import numpy as np
import pandas as pd
import torch
from joblib import Parallel, delayed

from ..checkpoints.store import atomic_write
from .measures import MEASURES
from .planted import REACHES, RESIDUALS, planted_features
from .readings import read

__all__ = ["FLAT", "FOLLOWS", "calibrate", "coverage", "judged", "replicates"]

SIZES = (40, 200, 1000)
FOLLOWS, FLAT = 0.95, 0.15

# Where a calibrated reading of family B is read: P⁺ where the other subset would hold images that never arrived.
SUBSETS = {"neighbour_mixing": "P+", "silhouette": "P+", "residual_energy": "P+", "source_accuracy": "P"}
SUBSETS |= dict.fromkeys(("trigger_separability", "trigger_selectivity", "trigger_codelength"), "C_t")
SETTLED = {"reach": 0.75, "residual": 0.5}  # where a dial stands while the other moves


def _one(n: int, reach: float, residual: float, seed: int, intervals: bool) -> dict[tuple[str, str], tuple[float, ...]]:
    """All readings of one planted representation: (measure, subset) → value and interval."""
    torch.set_num_threads(1)
    f = planted_features(n, reach=reach, residual=residual, seed=seed, intervals=intervals)
    names = frozenset(MEASURES) if intervals else frozenset(SUBSETS)
    return {key: (r.value, *r.interval) for key, r in read(f, names).items()}
