"""Weights: the straight line from the benign twin to the poisoned encoder, and layers moved between the two.

See :mod:`intertwine.probes.weight_space`.
"""

import pandas as pd
import torch
from torch import Tensor

from ...probes.gradients import WHOLE, layer_weights
from ...probes.weight_space import (
    barrier,
    displaced,
    half_point,
    interpolated,
    permuted,
    reset_statistics,
    transplanted,
)
from ...representations.encoders import Encoder
from ...representations.seeds import generator
from ..panel import PanelOptions
from ..results.reading import Reading
from ..results.row import build_rows
from ..results.schema import BACKDOORED
from ..runs.run import Run
from .paths import Rates, point_rows

__all__ = ["measure_path", "measure_transplants", "statistics_batches"]

POINTS = 11


def statistics_batches(run: Run, *, most: int = PanelOptions.images) -> list[Tensor]:
    """Clean training images, augmented and in batches as in training, for new statistics of BatchNorm."""
    e = run.experiment
    order = torch.randperm(len(e.train), generator=generator(e.recipe.seed, "statistics"))[:most]
    augment, stream = e.recipe.augment(), generator(e.recipe.seed, "statistics-views")
    whole_batches = [index for index in order.split(e.recipe.batch) if len(index) == e.recipe.batch] or [order]
    return [augment(e.train.images[index].float() / 255, stream) for index in whole_batches]


def measure_path(run: Run, benign: Run, rates: Rates, batches: list[Tensor]) -> pd.DataFrame:
    """ACC and ASR along the straight line from the benign twin (x = 0) to the poisoned encoder (x = 1).

    Also ``acc_barrier`` and ``asr_half_point``. Reference ``permuted``: the line to the same function with permuted
    weights.
    """
    seed = run.experiment.recipe.seed
    x = [i / (POINTS - 1) for i in range(POINTS)]
    tables = []
    for reference, end in (("", run.encoder), ("permuted", permuted(run.encoder, seed=seed))):
        points = [rates(reset_statistics(interpolated(benign.encoder, end, alpha), batches)) for alpha in x]
        tables.append(point_rows(run, "interpolation", x, points, reference=reference))
        accs, asrs = ([pair[i] for pair in points] for i in (0, 1))
        status = _status(asrs[-1] - asrs[0])
        note = f"{POINTS} points; BatchNorm statistics computed again"
        height = Reading(barrier(x, accs), n=len(rates.test), status=status, note=note)
        half = Reading(half_point(x, asrs), n=len(rates.test), note=note)
        if status != "ok":
            half = _failed(asrs[-1] - asrs[0])
        for measure, reading in (("acc_barrier", height), ("asr_half_point", half)):
            tables.append(build_rows(run.label, {WHOLE: reading}, measure=measure, reference=reference))
    return pd.concat(tables, ignore_index=True)


def measure_transplants(run: Run, benign: Run, rates: Rates, batches: list[Tensor]) -> pd.DataFrame:
    """Move each layer's weights from the poisoned encoder into its benign twin, and the other way.

    The excess is the poisoned encoder's ASR minus the benign twin's. ``transplant_gain``: share of the excess that the
    benign twin gains with the poisoned layer. ``transplant_loss``: share that the poisoned encoder loses with the
    benign layer. Reference ``random-direction``: the layer moved as far in a random direction. Rates are points of
    paths, with the depth of the layer as ``x``.
    """
    seed = run.experiment.recipe.seed
    clean, poisoned = benign.encoder, run.encoder
    layers = list(layer_weights(poisoned))

    def at(encoder: Encoder) -> tuple[float, float]:
        return rates(reset_statistics(encoder, batches))

    before = {"benign": at(clean), "poisoned": at(poisoned)}
    excess = before["poisoned"][1] - before["benign"][1]
    tables = [point_rows(run, f"transplant-into-{into}", [-1], [pair]) for into, pair in before.items()]
    for measure, into, host, donor, sign in (
        ("transplant_gain", "benign", clean, poisoned, 1),
        ("transplant_loss", "poisoned", poisoned, clean, -1),
    ):
        made: dict[str, list[Encoder]] = {
            "": [transplanted(host, donor, layer) for layer in layers],
            "random-direction": [displaced(host, donor, layer, seed=seed) for layer in layers],
        }
        for reference, encoders in made.items():
            points = [at(encoder) for encoder in encoders]
            tables.append(point_rows(run, f"transplant-into-{into}", range(len(layers)), points, reference=reference))
            found = {
                layer: _share(sign * (asr - before[into][1]), excess, len(rates.test))
                for layer, (_, asr) in zip(layers, points, strict=True)
            }
            tables.append(build_rows(run.label, found, measure=measure, reference=reference))
    return pd.concat(tables, ignore_index=True)


def _share(change: float, excess: float, n: int) -> Reading:
    if excess < BACKDOORED:
        return _failed(excess)
    return Reading(change / excess, n=n, note=f"excess ASR {excess:.4g}")


def _failed(excess: float) -> Reading:
    return Reading(float("nan"), status="too_few_hits", note=f"excess ASR {excess:.4g}")


def _status(excess: float) -> str:
    return "ok" if excess >= BACKDOORED else "too_few_hits"
