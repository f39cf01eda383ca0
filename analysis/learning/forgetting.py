"""Forgetting: train an encoder away from its backdoor, and watch its benign task.

The benign twin gets the same treatment, with the same images, triggers, labels and steps: this shows what the treatment
itself costs. BatchNorm is in evaluation mode throughout: only weights change.
"""

import copy
from collections.abc import Callable, Sequence

import pandas as pd
import torch
from torch import Tensor, nn
from torch.nn.functional import cross_entropy

from ...probes.forgetting import forgetting_coupling, walk
from ...probes.gradients import WHOLE
from ...probes.linear import ridge_head
from ...representations.capture import capture
from ...representations.encoders import FEATURES, Encoder
from ...representations.seeds import generator
from ...training.model import EncoderWithObjective, build_objective
from ..results.reading import Reading, undefined
from ..results.row import build_rows
from ..results.schema import BACKDOORED
from ..runs.run import Run
from .paths import Rates, point_rows

__all__ = ["STOPS", "WAYS", "measure_forgetting"]

STOPS = (0, 1, 2, 4, 8, 16, 32)
"""Numbers of steps after which rates are computed."""

WAYS = {"ascent": 4e-4, "clean-finetuning": 1e-3, "benign-only": 1e-3}
"""Ways of forgetting → learning rate of Adam (not the recipe's, which may be that of SGD).

ascent: gradient ascent on CE(W f(x⊕r), t) over the run's own poisons (as in ABL, after isolation). clean-finetuning:
descent on CE(W f(x), y) over clean training images. W is a frozen ridge head on the encoder's clean features before the
first step. benign-only: the arm continues with its own loss on its unpoisoned images.

Training on the poisons only is not among the ways. All poisons have one class: a constant encoder meets the loss.
"""

OWN = ("supervised", "supcon", "simclr")

Loss = Callable[[int], Tensor]


def measure_forgetting(run: Run, benign: Run, rates: Rates, *, stops: Sequence[int] = STOPS) -> pd.DataFrame:
    """Rates along each way of forgetting, and ``forgetting_coupling``, ΔACC per ΔASR.

    Rates are of the kind ``path``, with the number of steps as ``x``; the reference ``benign`` has those of the benign
    twin. The coupling's reference ``benign`` is the benign twin's ΔACC per ΔASR of the run. The coupling is undefined
    where the backdoor is not unlearned.
    """
    excess = rates(run.encoder)[1] - rates(benign.encoder)[1]
    tables, coupling = [], "forgetting_coupling"
    for way in WAYS:
        if way == "benign-only" and run.experiment.arm.learner not in OWN:
            reading = undefined(f"the loss of {run.experiment.arm.learner} cannot be continued")
            tables.append(build_rows(run.label, {WHOLE: reading}, measure=coupling, path=way))
            continue
        both = {"": run, "benign": benign}
        paths = {reference: _follow(run, other, way, rates, stops) for reference, other in both.items()}
        length = min(map(len, paths.values()))  # a path may end early
        asr = [point[1] for point in paths[""][:length]]
        for reference, points in paths.items():
            tables.append(point_rows(run, way, stops[: len(points)], points, reference=reference))
            reading = _coupling([point[0] for point in points[:length]], asr, excess)
            about = {"measure": coupling, "path": way, "reference": reference}
            tables.append(build_rows(run.label, {WHOLE: reading}, **about))
    return pd.concat(tables, ignore_index=True)


def _coupling(acc: list[float], asr: list[float], excess: float) -> Reading:
    note = f"ASR fell by {asr[0] - min(asr):.4g} of {excess:.4g} over the benign twin's"
    if excess < BACKDOORED:
        return Reading(float("nan"), status="too_few_hits", note=note)
    value = forgetting_coupling(acc, asr, excess=excess, least=BACKDOORED) if len(acc) > 1 else float("nan")
    if value == value:
        return Reading(value, note=note)
    return undefined(f"ASR falls by less than {BACKDOORED:g}; {note}")


def _follow(run: Run, other: Run, way: str, rates: Rates, stops: Sequence[int]) -> list[tuple[float, float]]:
    """ACC and ASR of ``other``'s encoder at the stops, trained on ``run``'s images."""
    encoder = copy.deepcopy(other.encoder).eval()
    parameters, loss = _own(run, other, way, encoder) if way == "benign-only" else _common(run, way, encoder)
    return [rates(encoder) for _ in walk(parameters, loss, stops, lr=WAYS[way])]


def _common(run: Run, way: str, encoder: Encoder) -> tuple[list[nn.Parameter], Loss]:
    """The loss of ascent or of clean fine-tuning, and the weights that it changes: the encoder's."""
    e, device = run.experiment, encoder.mean.device
    bank = capture(encoder, e.train.images, layers=[FEATURES])[FEATURES]
    present = e.train.labels.unique()
    columns = torch.searchsorted(present, e.train.labels)
    head = ridge_head(bank, columns, len(present))
    ascends = way == "ascent"
    known = e.plan.indices(e.arm) if ascends else torch.arange(len(e.train))
    if ascends:
        columns = torch.full_like(columns, int(torch.searchsorted(present, e.plan.target)))

    def loss(step: int) -> Tensor:
        index = _batch(run, known, way, step)
        x = e.train.images[index].to(device).float() / 255
        value = cross_entropy(head(encoder(e.train_trigger(x) if ascends else x)), columns[index].to(device))
        return -value if ascends else value

    return list(encoder.parameters()), loss


def _own(run: Run, other: Run, way: str, encoder: Encoder) -> tuple[list[nn.Parameter], Loss]:
    """The loss of ``other``'s training on ``run``'s unpoisoned images, and its weights: encoder and heads."""
    e, device = run.experiment, encoder.mean.device
    objective = build_objective(e.recipe, other.experiment.arm.learner, encoder, len(e.train.classes)).to(device)
    objective.load_state_dict(other.checkpoint.head)
    learner = EncoderWithObjective(encoder, objective.eval(), "float32", torch.contiguous_format, False)
    views = 1 if other.experiment.arm.learner == "supervised" else 2
    known, augment = (~e.mask).nonzero().flatten(), e.recipe.augment()

    def loss(step: int) -> Tensor:
        index = _batch(run, known, way, step)
        x = e.train.images[index].to(device).float() / 255
        streams = (generator(e.recipe.seed, "forgetting-views", way, step, v) for v in range(views))
        seen = torch.cat([augment(x, stream) for stream in streams])
        return learner(seen, e.labels[index].to(device), views).total

    return [p for p in learner.parameters() if p.requires_grad], loss


def _batch(run: Run, known: Tensor, way: str, step: int) -> Tensor:
    """Indices of one batch of the ``known`` images, drawn for this step."""
    recipe = run.experiment.recipe
    order = torch.randperm(len(known), generator=generator(recipe.seed, "forgetting", way, step))
    return known[order[: recipe.batch]]
