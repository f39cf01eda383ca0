"""Family B: mixing. Do triggered images lie among the target class, and can the trigger be read inside it?

Neighbour mixing and the energy coefficient are in :mod:`.two_sets`.
"""

import torch
from torch import Tensor

from ....probes.linear import trigger_separability
from ....probes.mdl import trigger_codelength
from ....probes.nulls import NO_INTERVAL, resampled_interval, t_interval
from ....representations.geometry import silhouette_masked
from ...results.reading import Reading
from .reading import Entry, Features, Readings, Union
from .two_sets import union

__all__ = ["ENTRIES"]

SHARED_PROBES = 1.4  # factor on the variance of a codelength


def _permuted(both: Union, stream: torch.Generator) -> Tensor:
    """Permuted labels of a union, bool ``(m,)``: which points count as triggered."""
    return both.in_triggered[torch.randperm(len(both.in_triggered), generator=stream)]


def _silhouette(f: Features, subset: str) -> Readings:
    both = union(f, subset)

    def statistic(masks: Tensor) -> Tensor:
        return silhouette_masked(both.distances, both.in_triggered, masks)

    return {"silhouette": f.jackknifed(statistic, len(both.in_triggered), of=subset)}


def _together_silhouette(f: Features, subset: str, stream: torch.Generator) -> dict[str, float]:
    both = union(f, subset)
    every = torch.ones(1, len(both.in_triggered), dtype=torch.bool)
    return {"silhouette": float(silhouette_masked(both.distances, _permuted(both, stream), every))}


def _separability(f: Features, subset: str) -> Readings:
    f.need(subset)
    probed = trigger_separability(*f.pairs("clean_target"), seed=f.seed)
    size, readings = len(probed.scores), []
    for value, column, low in ((probed.auc, 0, 0.0), (probed.selectivity, 1, -1.0)):
        interval = NO_INTERVAL
        if f.intervals:
            interval = resampled_interval(probed.by_fold[:, column], folds=probed.folds, size=size, low=low)
        readings.append(Reading(value, interval, size))
    return {"trigger_separability": readings[0], "trigger_selectivity": readings[1]}


def _control_task(f: Features, subset: str, stream: torch.Generator) -> dict[str, float]:
    f.need(subset)
    seed = int(torch.randint(2**31, (1,), generator=stream))
    return {
        "trigger_separability": trigger_separability(*f.pairs("clean_target"), seed=seed).control,
        "trigger_selectivity": 0.0,
    }


def _codelength(f: Features, _subset: str) -> Readings:
    code = trigger_codelength(*f.pairs("clean_target"), orders=3, seed=f.seed)
    interval = NO_INTERVAL
    if f.intervals:
        low, high = t_interval(code.scores)
        # Images share probes: intervals from their scores alone had a coverage of .85 to .9 (planted, n = 40).
        reach = SHARED_PROBES**0.5 * (high - low) / 2
        interval = max(0.0, code.value - reach), code.value + reach
    return {"trigger_codelength": Reading(code.value, interval, len(code.scores))}


ENTRIES = (
    Entry(("silhouette",), ("triggered", "hits"), _silhouette, _together_silhouette),
    Entry(("trigger_separability", "trigger_selectivity"), ("clean_target",), _separability, _control_task),
    Entry(("trigger_codelength",), ("clean_target",), _codelength),
)
