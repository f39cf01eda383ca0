"""Interventions on the network: mediation, collateral, ablation of channels, and steering along a direction.

They need the encoder and images, not only features. Everything is forward passes, of a few hundred images.
"""

import math
from collections.abc import Callable, Collection, Sequence
from dataclasses import dataclass, replace
from functools import cached_property

import torch
from torch import Tensor

from ....probes.channel_ablation import ChannelAblation, ablate_channels
from ....probes.collateral import Collateral, collateral
from ....probes.mediation import Patched, mediation
from ....probes.nulls import NO_INTERVAL, Interval, mean_interval, paired_interval
from ....probes.patching import unit_interval
from ....probes.steering import steering
from ....representations.capture import capture
from ....representations.encoders import FEATURES, Encoder
from ....representations.errors import InputError
from ....representations.seeds import generator
from ...results.reading import Reading, undefined
from ..evaluation_data import EvaluationData
from .reading import SMALLEST

__all__ = ["INTERVENTIONS", "MEDIATION", "SUBSETS", "SteeringRow", "intervention_readings", "steering_points"]

Z = 1.96
MEDIATION = ("mediation", "mediation_excess", "reverse_mediation", "reverse_mediation_excess")
ABLATION = ("ablation_recall", "ablation_asr")
INTERVENTIONS = (*MEDIATION, "collateral", *ABLATION)
"""The measures that :func:`intervention_readings` computes."""

Key = tuple[str, str, str, str]  # layer, measure, subset, reference ("" for the reading itself)
SteeringRow = tuple[str, str, float, str, float, int]  # layer, path, x, measure, value, n

SUBSETS = dict.fromkeys(INTERVENTIONS, "hits") | {"collateral": "clean_target", "ablation_recall": "clean_target"}
"""Measure → the subset whose images are counted."""
COLLATERAL = ("collateral", SUBSETS["collateral"])

MOST_HITS, MOST_HELD_OUT, MOST_IN_BANK = 200, 300, 1000
"""Images at most: hits that are patched; triggered others, and target images; bank images that give the subspaces."""


@dataclass(frozen=True)
class _Images:
    """The images of the interventions, drawn once, and their activations in the bank."""

    encoder: Encoder
    layers: tuple[str, ...]
    data: EvaluationData
    hits: Tensor
    predict: Callable[[Tensor], Tensor]

    def drawn(self, mask: Tensor, most: int, purpose: str) -> Tensor:
        """Rows of ``data.images`` in a mask, ``most`` of them at most."""
        rows = mask.nonzero().flatten()
        if len(rows) <= most:
            return rows
        order = torch.randperm(len(rows), generator=generator(self.data.seed, "intervention", purpose))
        return rows[order[:most]].sort().values

    def clean(self, rows: Tensor) -> Tensor:
        return unit_interval(self.data.images[rows])

    def triggered(self, rows: Tensor) -> Tensor:
        return self.data.trigger(self.clean(rows))

    @cached_property
    def hit_rows(self) -> Tensor:
        return self.drawn(self.hits & self.data.others, MOST_HITS, "hits")

    @cached_property
    def other_rows(self) -> Tensor:
        return self.drawn(self.data.others, MOST_HELD_OUT, "others")

    @cached_property
    def target_rows(self) -> Tensor:
        return self.drawn(~self.data.others, MOST_HELD_OUT, "target")

    @cached_property
    def bank_rows(self) -> Tensor:
        n = len(self.data.bank)
        return torch.randperm(n, generator=generator(self.data.seed, "intervention", "bank"))[:MOST_IN_BANK]

    @property
    def bank_labels(self) -> Tensor:
        return self.data.bank_labels[self.bank_rows]

    @cached_property
    def bank(self) -> dict[str, Tensor]:
        return capture(self.encoder, self.data.bank[self.bank_rows], layers=self.layers)

    @cached_property
    def bank_triggered(self) -> dict[str, Tensor]:
        return capture(self.encoder, self.data.bank[self.bank_rows], layers=self.layers, transform=self.data.trigger)

    def says_target(self, rows: Tensor) -> Tensor:
        """Whether the evaluator sends clean images to the target, bool."""
        if len(rows) == 0:
            return torch.zeros(0, dtype=torch.bool)
        features = capture(self.encoder, self.data.images[rows], layers=[FEATURES])[FEATURES]
        return self.predict(features) == self.data.target

    def sources(self) -> dict[str, Tensor]:
        """Clean images in place of the triggered ones, one for each hit: the two ends of mediation.

        ``together``: of the target class, and sent there, as the hits are. ``apart``: of a class that is neither the
        target nor the hit's own, and not sent to the target. A missing end had no image.
        """
        theirs = self.target_rows[self.says_target(self.target_rows)]
        others = self.other_rows[~self.says_target(self.other_rows)]
        stream = generator(self.data.seed, "intervention", "sources")
        found = {}
        for name, rows in (("together", theirs), ("apart", others)):
            weights = torch.rand(len(self.hit_rows), len(rows), generator=stream)
            weights[self.data.classes[self.hit_rows].unsqueeze(1) == self.data.classes[rows]] = -1
            if len(rows) and bool((weights.max(1).values >= 0).all()):
                found[name] = self.clean(rows[weights.argmax(1)])
        return found

    def need(self, subset: str, rows: Tensor) -> None:
        if len(rows) < SMALLEST:
            raise InputError(f"expected at least {SMALLEST} images in {subset}, received {len(rows)}")


def intervention_readings(
    encoder: Encoder,
    layers: Sequence[str],
    data: EvaluationData,
    hits: Tensor,
    predict: Callable[[Tensor], Tensor],
    benign_asr: float,
    wanted: Collection[str],
    *,
    intervals: bool = True,
) -> dict[Key, Reading]:
    """Readings by (layer, measure, subset, reference); the reference is empty for the reading itself.

    Mediation has the references ``together`` and ``apart`` (sources that are clean images of the target class, and of
    another) and ``random-subspace``. Collateral has ``apart``: random subspaces of equal rank. Ablation has
    ``random-subspace``: as many random channels.

    Args:
        hits: bool ``(n,)``, which of ``data.images`` are hits. predict: the evaluator that decides, features ``(m, d)``
            → classes. benign_asr: ASR of the benign twin by the same evaluator.
        wanted: names of measures; those that are not in :data:`INTERVENTIONS` are ignored.

    With fewer than 10 hits, or 10 target images where they are needed, readings are ``undefined``.

    Cost: see the probes. At most 200 hits, 300 triggered images, 300 target images and 1000 bank images are used.
    """
    wanted = [name for name in INTERVENTIONS if name in wanted]
    if not wanted or not layers:
        return {}
    images = _Images(encoder, tuple(layers), data, hits, predict)
    found: dict[Key, Reading] = {}
    try:
        images.need("hits", images.hit_rows)
        if set(MEDIATION) & set(wanted):
            found |= _mediation(images, intervals)
        others = [name for name in wanted if name not in MEDIATION]
        for layer in layers if others else ():
            found |= _per_layer(images, layer, others, benign_asr, intervals)
    except InputError as error:
        return {(layer, name, SUBSETS[name], ""): undefined(str(error)) for layer in layers for name in wanted}
    of_width = {key: replace(r, d=images.bank[key[0]].shape[1]) for key, r in found.items()}
    return {key: reading for key, reading in of_width.items() if key[1] in wanted}


def _mediation(images: _Images, intervals: bool) -> dict[Key, Reading]:
    rows, sources = images.hit_rows, images.sources()
    by_layer = mediation(
        *(images.encoder, images.clean(rows), images.triggered(rows), images.bank, images.bank_labels),
        *(images.predict, images.data.target),
        sources=sources,
        seed=images.data.seed,
    )
    found: dict[Key, Reading] = {}
    for layer, m in by_layer.items():
        note = f"rank {m.rank} of {m.d}"
        found |= _patched(layer, "mediation", "", m.forward, note, intervals)
        found |= _patched(layer, "reverse_mediation", "", m.reverse, note, intervals)
        for end, patched in m.ends.items():
            found |= _patched(layer, "mediation", end, patched, note, intervals)
        for end in {"together", "apart"} - set(m.ends):
            nothing = undefined(f"expected clean images that serve as the end {end!r}, received none")
            found |= {(layer, name, "hits", end): nothing for name in MEDIATION[:2]}
    return found


def _patched(layer: str, name: str, reference: str, p: Patched, note: str, intervals: bool) -> dict[Key, Reading]:
    """The score, its random subspaces, and the excess, of one intervention."""
    random = p.random.mean(0)

    def reading(scores: Tensor, note: str, interval: Callable[[Tensor], Interval] = mean_interval) -> Reading:
        return Reading(float(scores.mean()), interval(scores) if intervals else NO_INTERVAL, len(scores), note=note)

    def of_excess(scores: Tensor) -> Interval:
        """Over the images, and over the draws of random subspaces."""
        low, high = paired_interval(scores)
        draws = Z * float(p.random.mean(1).var() / len(p.random)) ** 0.5
        centre, reach = (low + high) / 2, math.hypot((high - low) / 2, draws)
        return max(-1.0, centre - reach), min(1.0, centre + reach)

    found = {
        (layer, name, "hits", reference): reading(p.own, note),
        (layer, f"{name}_excess", "hits", reference): reading(
            p.excess,
            f"{note}; random subspaces {float(random.mean()):.4g}; corrected for them {p.corrected:.4g}",
            of_excess,
        ),
    }
    if not reference:
        found[(layer, name, "hits", "random-subspace")] = reading(random, f"mean of {len(p.random)} draws")
    return found


def _per_layer(
    images: _Images, layer: str, wanted: Sequence[str], benign_asr: float, intervals: bool
) -> dict[Key, Reading]:
    bank = images.bank[layer], images.bank_labels
    found: dict[Key, Reading] = {}
    try:
        images.need("clean_target", images.target_rows)
        of_target = images.clean(images.target_rows)
        if "collateral" in wanted:
            cost = collateral(
                *(images.encoder, layer, images.triggered(images.other_rows), of_target, bank),
                *(images.bank_triggered[layer], images.predict, images.data.target),
                benign_asr=benign_asr,
                seed=images.data.seed,
            )
            found |= _collateral(layer, cost, images.data.seed, intervals)
        if set(ABLATION) & set(wanted):
            ablated = ablate_channels(
                *(images.encoder, layer, images.triggered(images.hit_rows), of_target, bank),
                *(images.bank_triggered[layer], images.predict, images.data.target),
                seed=images.data.seed,
            )
            found |= _ablation(layer, ablated, intervals)
    except InputError as error:
        found |= {(layer, name, SUBSETS[name], ""): undefined(str(error)) for name in wanted}
    return found


def _collateral(layer: str, cost: Collateral, seed: int, intervals: bool) -> dict[Key, Reading]:
    n = len(cost.before)
    if cost.undefined:
        return {(layer, *COLLATERAL, ""): replace(undefined(cost.undefined), n=n)}
    rates = ", ".join(f"{x:.4g}" for x in cost.asr)
    note = (
        f"rank {cost.rank}; recall {float(cost.before.mean()):.4g} to {float(cost.after.mean()):.4g}; "
        f"class direction {cost.class_cost:.4g}; ASR {rates}"
    )
    interval = cost.interval(seed=seed) if intervals else NO_INTERVAL
    return {
        (layer, *COLLATERAL, ""): Reading(cost.value, interval, n, note=note),
        (layer, *COLLATERAL, "together"): Reading(1.0, n=n, note="by definition: the class direction itself"),
        (layer, *COLLATERAL, "apart"): Reading(
            cost.apart, n=n, note=f"mean of {len(cost.random)} random subspaces of rank {cost.rank}"
        ),
    }


def _ablation(layer: str, found: ChannelAblation, intervals: bool) -> dict[Key, Reading]:
    """Recall lost with the trigger's channels, ASR of the hits lost with the class's."""
    count = len(found.trigger_channels)
    shared = f"{count} channels, {found.shared} of them in both lists"
    readings: dict[Key, Reading] = {}
    for name, lost, other, own in (
        ("ablation_recall", found.recall_lost, 0, "the class's own channels"),
        ("ablation_asr", found.asr_lost, 1, "the trigger's own channels"),
    ):
        interval = paired_interval(lost[other]) if intervals else NO_INTERVAL
        note = f"{shared}; {own} {float(lost[1 - other].mean()):.4g}"
        readings[(layer, name, SUBSETS[name], "")] = Reading(
            float(lost[other].mean()), interval, lost.shape[1], note=note
        )
        random = lost[2:].mean(0)
        interval = paired_interval(random) if intervals else NO_INTERVAL
        readings[(layer, name, SUBSETS[name], "random-subspace")] = Reading(
            float(random.mean()), interval, lost.shape[1], note=f"mean of {len(lost) - 2} draws of {count} channels"
        )
    return readings


def steering_points(
    encoder: Encoder,
    layers: Sequence[str],
    data: EvaluationData,
    predict: Callable[[Tensor], Tensor],
) -> list[SteeringRow]:
    """Points (layer, path, x, measure, value, n) of two paths at each layer, for rows of the kind ``path``.

    ``directional ablation``: a share x of the component along the trigger's direction is removed. ``steering``: x times
    the direction is added to clean images of other classes. Measures: ``asr`` and ``acc``; under steering both are of
    these images. At most 300 images of all classes.
    """
    images = _Images(encoder, tuple(layers), data, torch.zeros_like(data.others), predict)
    rows = images.drawn(torch.ones_like(data.others), MOST_HELD_OUT, "steered")
    clean, triggered, classes = images.clean(rows), images.triggered(rows), data.classes[rows]
    points: list[SteeringRow] = []
    for layer in layers:
        bank = images.bank[layer], images.bank_triggered[layer]
        paths = steering(encoder, layer, clean, triggered, classes, *bank, predict, data.target)
        for path, found in zip(("directional ablation", "steering"), paths, strict=True):
            for p in found:
                points.append((layer, path, p.x, "asr", p.asr, p.n_asr))
                points.append((layer, path, p.x, "acc", p.acc, p.n_acc))
    return points
