"""Interference and the effects of a step, from gradients (:mod:`intertwine.probes.interference`)."""

from collections.abc import Collection, Mapping, Sequence
from dataclasses import replace

import torch
from torch import Tensor

from ....probes.alignment import align, same_task, step_effect
from ....probes.gradients import WHOLE, layer_weights
from ....probes.interference import (
    benign_and_backdoor,
    each_weight_alike,
    interference_blocks,
    interference_grams,
    without_clean_part,
)
from ....probes.linear import LinearHead
from ....representations.encoders import Encoder
from ...results.reading import Reading
from ..evaluation_data import EvaluationData, Transform

__all__ = [
    *("BLOCKS", "INTERFERENCE", "MOST", "STEP", "alignment_reading", "ends", "grams_of", "images_of"),
    "interference_readings",
]

INTERFERENCE = ("interference", "benign_step_effect", "backdoor_step_effect")
STEP = "step"
BLOCKS, MOST = 24, 768  # images of each task: a backward pass costs two forward ones


def grams_of(
    encoder: Encoder, triggers: Sequence[Transform], data: EvaluationData, head: LinearHead, columns: Tensor
) -> list[dict[str, Tensor]]:
    """Inner products of gradients by layer, for each trigger; none for an encoder without weights.

    By layer, the backdoor's gradient is what the trigger adds. Under :data:`WHOLE`, every weight counts alike. Under
    :data:`STEP` are the plain products of both tasks' whole gradients, for the effects of a step of gradient descent.

    head: ridge probe of clean features of the bank. columns: its classes, ascending.
    """
    if not any(p.ndim > 1 for p in encoder.backbone.parameters()):
        return [{} for _ in triggers]
    labels = torch.searchsorted(columns, data.classes)
    target = int(torch.searchsorted(columns, data.target))
    numbers = {"blocks": BLOCKS, "most": MOST, "seed": data.seed}
    found = interference_grams(encoder, head, data.images, labels, target, triggers, **numbers)
    weights = {
        layer: sum(encoder.backbone.get_parameter(name).numel() for name in names)
        for layer, names in layer_weights(encoder).items()
    }
    by_trigger = []
    for grams in found:
        added = {layer: without_clean_part(grams[layer]) for layer in weights}
        by_trigger.append(added | {WHOLE: each_weight_alike(added, weights), STEP: benign_and_backdoor(grams[WHOLE])})
    return by_trigger


def images_of(data: EvaluationData) -> int:
    """Number of images behind the gradients of all tasks."""
    tasks = interference_blocks(data.classes, data.target, blocks=BLOCKS, most=MOST, seed=data.seed)
    return sum(len(block) for task in tasks for block in task)


def alignment_reading(gram: Tensor, n: int) -> Reading:
    """Corrected cosine of two tasks' gradients. ``n``: number of images."""
    a = align(gram)
    norms = f"norms {a.norm_g:.4g} (benign) and {a.norm_h:.4g} (backdoor)"
    return Reading(a.value, a.interval, n, a.status, f"naive cosine {a.naive:.4g}; {norms}; {len(gram) // 2} blocks")


def interference_readings(
    grams: Mapping[str, Tensor], n: int, wanted: Collection[str]
) -> dict[tuple[str, str], Reading]:
    """The wanted readings by layer and measure."""
    found = {}
    for layer, gram in grams.items():
        if layer != STEP:
            if "interference" in wanted:
                found[(layer, "interference")] = alignment_reading(gram, n)
            continue
        exchanged = torch.arange(len(gram)).roll(len(gram) // 2)
        for name, part in (("benign_step_effect", gram), ("backdoor_step_effect", gram[exchanged][:, exchanged])):
            if name in wanted:
                effect = step_effect(part)
                found[(WHOLE, name)] = Reading(effect.value, effect.interval, n, effect.status)
    return found


def ends(gram: Tensor, n: int, seed: int) -> dict[str, Reading]:
    """``together``: one task and itself, with the range of a cosine of 1 under the same noise. ``apart``: 0."""
    one = same_task(gram, seed=seed)
    together = Reading(1.0, one.interval, n, one.status, "by permutation")  # its expectation is exactly 1
    return {"together": together, "apart": replace(Reading(0.0, n=n), note="by definition")}
