"""Interventions: change a poisoned encoder and its benign twin, and see whether the two tasks change together."""

from collections.abc import Callable
from dataclasses import replace

import pandas as pd

from ...checkpoints.store import snapshot_epochs
from ...representations.encoders import FEATURES
from ..panel import PanelOptions
from ..panel.evaluation_data import evaluation_data
from ..panel.reading_sets import ReadingSet
from ..panel.readings import ERASURE
from ..panel.readings.interventions import steering_points
from ..results.measures import RATES
from ..results.reading import Reading
from ..results.row import build_row, build_rows, table_of
from ..results.schema import NATIVE
from ..runs.measurement import measure_run
from ..runs.run import Run, native_head
from .disentanglement import measure_disentanglement
from .forgetting import measure_forgetting
from .matched_asr import measure_matched
from .own_alignment import own_alignment_ends
from .paths import Rates
from .weight_interpolation import measure_path, measure_transplants, statistics_batches

__all__ = ["measure_interventions"]


def measure_interventions(
    run: Run, benign: Run, *, most: int = PanelOptions.images, log: Callable[[str], None] = lambda line: None
) -> pd.DataFrame:
    """Rows of all interventions on a run, each with its references.

    These are the path between weights, transplants, task vectors, forgetting, erasure, steering, matched ASR, and the
    ends of the own loss's alignment at every snapshot. most: number of images of the test set and of the bank.
    """
    rates, batches = Rates.of(run, most=most), statistics_batches(run, most=most)
    tables = []
    for name, take in {
        "path between weights": lambda: measure_path(run, benign, rates, batches),
        "transplants": lambda: measure_transplants(run, benign, rates, batches),
        "disentanglement of weights": lambda: measure_disentanglement(run, benign, rates, batches),
        "forgetting": lambda: measure_forgetting(run, benign, rates),
        "erasure": lambda: _erasure(run, benign, most),
        "steering": lambda: _steering(run, most),
        "matched ASR": lambda: measure_matched(run, benign, rates, most=most),
        "ends of the own loss's alignment": lambda: _ends(run),
    }.items():
        log(f"{run.name}: {name}")
        tables.append(take())
    return pd.concat(tables, ignore_index=True)


def _erasure(run: Run, benign: Run, most: int) -> pd.DataFrame:
    """Erasure costs at the output and at a middle layer."""
    layers = (run.encoder.layers[len(run.encoder.layers) // 2], FEATURES)
    chosen = ReadingSet(frozenset({*RATES, *ERASURE}), references=frozenset({"benign"}), layers=layers)
    rows = measure_run(run, benign, PanelOptions(chosen, images=most, bank=most))
    return rows[rows["measure"].isin(ERASURE)]


def _steering(run: Run, most: int) -> pd.DataFrame:
    """Points of both paths along the trigger's direction, at every layer: see :func:`steering_points`."""
    e, head = run.experiment, native_head(run)
    options = PanelOptions(images=most, bank=most, seed=e.recipe.seed)
    on = e.test.images, e.test.labels, e.test_trigger, e.plan.target
    data = evaluation_data(*on, options, bank=(e.train.images, e.train.labels))
    points = steering_points(run.encoder, run.encoder.layers, data, lambda features: head(features).argmax(1))
    return table_of(
        build_row(
            run.label,
            Reading(value, n=n),
            **{"kind": "path", "path": path, "x": x, "layer": layer, "measure": measure},
            **{"subset": _subset_of(path, measure), "evaluator": NATIVE, "decides": True},
        )
        for layer, path, x, measure, value, n in points
    )


def _subset_of(path: str, measure: str) -> str:
    """The images of a rate on a path of :func:`steering_points`."""
    if path == "steering":
        return "clean_other"
    return "triggered" if measure == "asr" else "clean"


def _ends(run: Run) -> pd.DataFrame:
    tables = []
    for epoch in snapshot_epochs(run.checkpoint.path):
        for reference, found in own_alignment_ends(run, epoch).items():
            label = replace(run.label, epoch=epoch)
            tables.append(build_rows(label, found, measure="own_gradient_alignment", reference=reference))
    return pd.concat(tables, ignore_index=True)
