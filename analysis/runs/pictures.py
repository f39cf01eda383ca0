"""What figures of images and encoders need, computed from loaded runs: attributions, responses of units, distances."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch

from ...probes.attribution import grad_cam, integrated_gradients
from ...probes.linear import ridge_head
from ...probes.neurons import unit_profiles
from ...representations.capture import capture
from ...representations.encoders import FEATURES
from ...representations.errors import InputError
from ...representations.evaluators import EVALUATORS, is_hit
from ...representations.similarity import procrustes_distance
from ..results.schema import DEFAULT_EVALUATOR
from .run import Run

__all__ = ["Explained", "Responses", "distances", "explain", "responses"]

BANK = 2000
"""Training images that a head or an evaluator is fitted on, at most."""


@dataclass(frozen=True)
class Explained:
    """``clean``, ``triggered``: uint8 ``(n, 3, H, W)``. ``maps``: title → float ``(n, …, H, W)``. ``names``: of the
    images' classes."""

    clean: np.ndarray
    triggered: np.ndarray
    maps: dict[str, np.ndarray]
    names: list[str]


@dataclass(frozen=True)
class Responses:
    """``images``: uint8 ``(n, 3, H, W)``, clean ones, then the same with the trigger; ``activations`` ``(n, d)``;
    ``triggered`` bool ``(n,)``; ``units``: those that the trigger raises most, with ``titles``."""

    images: np.ndarray
    activations: np.ndarray
    triggered: np.ndarray
    units: list[int]
    titles: list[str]


def explain(run: Run, *, n: int = 4) -> Explained:
    """Attributions of the target's logit in ``n`` triggered images: hits, of as many classes as there are, or other
    triggered images where there are too few hits."""
    e = run.experiment
    target = e.plan.target
    bank, labels = e.train.images[:BANK], e.train.labels[:BANK]
    present = labels.unique()
    features = capture(run.encoder, bank, layers=[FEATURES])[FEATURES]
    if target not in present:
        raise InputError(f"run: expected images of the target among {len(bank)} training images, received none")
    head = ridge_head(features, torch.searchsorted(present, labels), len(present))
    column = int((present == target).nonzero())
    others = (e.test.labels != target).nonzero().flatten()[: 10 * BANK]
    clean = e.test.images[others]
    without, with_it = (
        capture(run.encoder, clean, layers=[FEATURES], transform=transform)[FEATURES]
        for transform in (None, e.test_trigger)
    )
    classify = EVALUATORS[DEFAULT_EVALUATOR]
    before, after = (classify(x, features, labels) for x in (without, with_it))
    hits = is_hit(before, after, e.test.labels[others], target)
    chosen = _one_of_each(e.test.labels[others], hits, n)
    shown = clean[chosen]
    triggered = (e.test_trigger(shown.float() / 255) * 255).round().to(torch.uint8)
    maps = {
        "integrated\ngradients": integrated_gradients(run.encoder, head, triggered, column).numpy(),
        "Grad-CAM": grad_cam(run.encoder, head, triggered, column).numpy(),
    }
    names = [e.test.classes[int(label)] for label in e.test.labels[others][chosen]]
    return Explained(shown.numpy(), triggered.numpy(), maps, names)


def _one_of_each(labels: torch.Tensor, hits: torch.Tensor, n: int) -> torch.Tensor:
    """Indices of ``n`` images: hits first, and of each class one before another of any."""
    order = sorted(range(len(labels)), key=lambda i: not hits[i])
    rank: dict[int, int] = {}
    keyed = []
    for place, i in enumerate(order):
        label = int(labels[i])
        rank[label] = rank.get(label, -1) + 1
        keyed.append((not bool(hits[i]), rank[label], place, i))
    return torch.tensor([i for *_, i in sorted(keyed)[:n]])


def responses(run: Run, *, units: int = 4, most: int = 500) -> Responses:
    """Activations of the output's units on held-out images of other classes, clean and triggered.

    units: so many of those that the trigger raises most, in within-class sds (see :func:`.neurons.unit_profiles`).
    """
    e = run.experiment
    x = e.test.images[:most]
    labels = e.test.labels[:most]
    clean, triggered = (
        capture(run.encoder, x, layers=[FEATURES], transform=transform)[FEATURES]
        for transform in (None, e.test_trigger)
    )
    raised = unit_profiles(clean, triggered, labels, e.plan.target, torch.ones(1, len(x), dtype=torch.bool))[0][0]
    top = raised.nan_to_num(-torch.inf).topk(min(units, len(raised))).indices.tolist()
    images = torch.cat([x, (e.test_trigger(x.float() / 255) * 255).round().to(torch.uint8)])
    return Responses(
        images.numpy(),
        torch.cat([clean, triggered]).numpy(),
        np.arange(len(images)) >= len(x),
        top,
        [f"unit {unit}: {raised[unit]:+.1f} sd" for unit in top],
    )


def distances(runs: Sequence[Run], *, most: int = 1000) -> np.ndarray:
    """Procrustes distances, in [0, π/2], between the outputs of all encoders on the first run's clean held-out images.

    Where seeds split the data differently, a run of another seed may have learned from some of these images.

    Raises:
        InputError: the runs have images of different sizes.
    """
    images = runs[0].experiment.test.images[:most]
    found = []
    for run in runs:
        size = tuple(run.experiment.test.images.shape[1:])
        if size != tuple(images.shape[1:]):
            raise InputError(f"run: expected images {tuple(images.shape[1:])} as of {runs[0].name}, received {size}")
        found.append(capture(run.encoder, images, layers=[FEATURES])[FEATURES])
    matrix = np.zeros((len(found), len(found)))
    for i, x in enumerate(found):
        for j in range(i):
            matrix[i, j] = matrix[j, i] = procrustes_distance(x, found[j])
    return matrix
