"""Forgetting: an encoder is led away from its backdoor, or from its benign task, and the other task is watched.

Each way is walked by the run and, the same images, triggers, labels and steps, by its clean encoder: what the treatment
itself costs. BN is in evaluation mode throughout: what changes is weights.
"""

import copy
from collections.abc import Callable, Sequence

import pandas as pd
import torch
from torch import Tensor, nn
from torch.nn.functional import cross_entropy

from ..probes.forgetting import forgetting_coupling, walk
from ..probes.linear import ridge_head
from ..representations.capture import capture
from ..representations.encoders import FEATURES, Encoder
from ..representations.seeds import generator
from ..training.learner import Learner, build_objective
from .paths import LEAST, Rates, point_rows, reading_rows, whole
from .readings import Reading, undefined
from .rows import format_params
from .runs import Run

__all__ = ["STOPS", "WAYS", "measure_forgetting"]

STOPS = (0, 1, 2, 4, 8, 16, 32)
"""Steps after which the rates are read."""

WAYS = {
    "ascent": 0.1,
    "clean-finetuning": 0.25,
    "benign-only": 0.25,
    "backdoor-only": 0.25,
}
"""Way → learning rate, in units of the recipe's.

ascent: up on CE(W f(x⊕r), t), the common yardstick of gradient alignment, over the run's own poisons (what ABL does
once it has isolated them). clean-finetuning: down on CE(W f(x), y) over clean training images. W is a ridge head on the
encoder's clean features before the first step, frozen. benign-only and backdoor-only: the arm goes on with its own
loss, on its unpoisoned images, or on its poisons, only.
"""

LEAST_ACC = 0.1
OWN = ("supervised", "supcon", "contrastive")

Loss = Callable[[int], Tensor]


def measure_forgetting(run: Run, floor: Run, rates: Rates, *, stops: Sequence[int] = STOPS) -> pd.DataFrame:
    """Rates along each way (x: steps; reference ``floor``: the clean encoder's), and ``forgetting_coupling``, way in
    the params: ΔACC per ΔASR, along ``backdoor-only`` ΔASR per ΔACC. Its reference ``floor`` is the clean encoder's
    ΔACC under the same treatment, per ΔASR of the run."""
    excess = rates(run.encoder)[1] - rates(floor.encoder)[1]
    tables = []
    for way in WAYS:
        if way.endswith("-only") and run.experiment.arm.method not in OWN:
            reason = f"there is no loss to go on with for {run.experiment.arm.method}"
            tables.append(reading_rows(run, whole(undefined(reason)), "forgetting_coupling"))
            continue
        paths = {
            reference: _follow(run, other, way, rates, stops) for reference, other in (("", run), ("floor", floor))
        }
        for reference, points in paths.items():
            tables.append(
                point_rows(run, stops[: len(points)], points, reference=reference, path="forgetting", way=way)
            )
        length = min(map(len, paths.values()))
        (acc, asr), (clean_acc, _) = ([[p[i] for p in points[:length]] for i in (0, 1)] for points in paths.values())
        if way == "backdoor-only":
            found = {"": _coupling(way, asr, acc, excess=acc[0], least=LEAST_ACC, evaluable=excess >= LEAST)}
        else:
            found = {
                reference: _coupling(way, kept, asr, excess=excess, least=LEAST, evaluable=excess >= LEAST)
                for reference, kept in (("", acc), ("floor", clean_acc))
            }
        for reference, reading in found.items():
            tables.append(reading_rows(run, whole(reading), "forgetting_coupling", reference=reference))
    return pd.concat(tables, ignore_index=True)


def _coupling(
    way: str, kept: list[float], forgotten: list[float], *, excess: float, least: float, evaluable: bool
) -> Reading:
    params = format_params(way=way, fell=forgotten[0] - min(forgotten), excess=excess)
    if not evaluable:
        return Reading(float("nan"), status="not_evaluable", params=params)
    value = forgetting_coupling(kept, forgotten, excess=excess, least=least) if len(kept) > 1 else float("nan")
    if value != value:
        return Reading(
            value, status="undefined", params=f"{params};reason=what is unlearned falls by less than {least:g}"
        )
    return Reading(value, params=params)


def _follow(run: Run, other: Run, way: str, rates: Rates, stops: Sequence[int]) -> list[tuple[float, float]]:
    """ACC and ASR of ``other``'s encoder at the stops, treated with ``run``'s images."""
    encoder = copy.deepcopy(other.encoder).eval()
    parameters, loss = _own(run, other, way, encoder) if way.endswith("-only") else _common(run, way, encoder)
    rate = run.experiment.recipe.lr * WAYS[way]
    return [rates(encoder) for _ in walk(parameters, loss, stops, lr=rate)]


def _common(run: Run, way: str, encoder: Encoder) -> tuple[list[nn.Parameter], Loss]:
    """The common yardstick's loss of the poisons, negated, or of clean images; the encoder's weights move."""
    e, device = run.experiment, encoder.mean.device
    bank = capture(encoder, e.train.images, layers=[FEATURES])[FEATURES]
    present = e.train.labels.unique()
    columns = torch.searchsorted(present, e.train.labels)
    head = ridge_head(bank, columns, len(present))
    known = e.plan.indices(e.arm) if way == "ascent" else torch.arange(len(e.train))
    if way == "ascent":
        columns = torch.full_like(columns, int(torch.searchsorted(present, e.plan.target)))

    def loss(step: int) -> Tensor:
        index = _batch(run, known, way, step)
        x = e.train.images[index].to(device).float() / 255
        value = cross_entropy(head(encoder(e.train_trigger(x) if way == "ascent" else x)), columns[index].to(device))
        return -value if way == "ascent" else value

    return list(encoder.parameters()), loss


def _own(run: Run, other: Run, way: str, encoder: Encoder) -> tuple[list[nn.Parameter], Loss]:
    """The loss that ``other`` was trained with, on one of ``run``'s two tasks; heads move too."""
    e, device = run.experiment, encoder.mean.device
    objective = build_objective(e.recipe, other.experiment.arm.method, encoder, len(e.train.classes)).to(device)
    objective.load_state_dict(other.checkpoint.head)
    learner = Learner(encoder, objective.eval(), "float32", torch.contiguous_format, False)
    views = 1 if other.experiment.arm.method == "supervised" else 2
    poisons = way == "backdoor-only"
    known, augment = (e.mask if poisons else ~e.mask).nonzero().flatten(), e.recipe.augment()

    def loss(step: int) -> Tensor:
        index = _batch(run, known, way, step)
        x = e.train.images[index].to(device).float() / 255
        x = e.train_trigger(x) if poisons else x
        streams = (generator(e.recipe.seed, "forgetting-views", way, step, v) for v in range(views))
        seen = torch.cat([augment(x, stream) for stream in streams])
        return learner(seen, e.labels[index].to(device), views).total

    return [p for p in learner.parameters() if p.requires_grad], loss


def _batch(run: Run, known: Tensor, way: str, step: int) -> Tensor:
    """As many of the ``known`` images as a batch has, drawn for this step."""
    recipe = run.experiment.recipe
    order = torch.randperm(len(known), generator=generator(recipe.seed, "forgetting", way, step))
    return known[order[: recipe.batch]]
