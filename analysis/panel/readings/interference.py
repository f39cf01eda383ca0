"""Interference and the effects of a step, from gradients: see :mod:`intertwine.probes.interference`."""

from collections.abc import Collection, Sequence
from dataclasses import replace

import torch
from torch import Tensor

from ....probes.alignment import align, same_task, step_effect
from ....probes.interference import interference_grams
from ....probes.linear import LinearHead
from ....representations.encoders import Encoder
from ...results.reading import Reading
from ..evaluation_data import EvaluationData, Transform

__all__ = ["BLOCKS", "INTERFERENCE", "MOST", "alignment_reading", "ends", "grams_of", "interference_readings"]

INTERFERENCE = ("interference", "benign_step_effect", "backdoor_step_effect")
BLOCKS, MOST = 24, 768  # images of each task: a backward pass costs two forward ones


def grams_of(
    encoder: Encoder, triggers: Sequence[Transform], data: EvaluationData, head: LinearHead, columns: Tensor
) -> list[dict[str, Tensor]]:
    """Inner products of gradients by layer, for each trigger; none for an encoder without weights.

    head: ridge probe of clean features of the bank. columns: its classes, ascending.
    """
    if not any(p.ndim > 1 for p in encoder.backbone.parameters()):
        return [{} for _ in triggers]
    labels = torch.searchsorted(columns, data.classes)
    target = int(torch.searchsorted(columns, data.target))
    sizes = {"blocks": BLOCKS, "most": MOST, "seed": data.seed}
    return interference_grams(encoder, head, data.images, labels, target, triggers, **sizes)


def alignment_reading(gram: Tensor, n: int) -> Reading:
    """Corrected cosine of two tasks' gradients. ``n``: number of images."""
    a = align(gram)
    norms = f"norms {a.norm_g:.4g} (benign) and {a.norm_h:.4g} (backdoor)"
    return Reading(a.value, a.interval, n, a.status, f"naive cosine {a.naive:.4g}; {norms}; {len(gram) // 2} blocks")


def interference_readings(gram: Tensor, n: int, wanted: Collection[str]) -> dict[str, Reading]:
    """The wanted readings of one layer by measure."""
    order = torch.arange(len(gram)).roll(len(gram) // 2)
    found = {}
    if "interference" in wanted:
        found["interference"] = alignment_reading(gram, n)
    for name, part in (("benign_step_effect", gram), ("backdoor_step_effect", gram[order][:, order])):
        if name in wanted:
            effect = step_effect(part)
            found[name] = Reading(effect.value, effect.interval, n, effect.status)
    return found


def ends(gram: Tensor, n: int, seed: int) -> dict[str, Reading]:
    """``together``: one task and itself, with the range of a cosine of 1 under the same noise. ``apart``: 0."""
    one = same_task(gram, seed=seed)
    together = Reading(1.0, one.interval, n, one.status, "by permutation")  # its expectation is exactly 1
    return {"together": together, "apart": replace(Reading(0.0, n=n), note="by definition")}
