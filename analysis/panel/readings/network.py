"""Readings of the network itself instead of its features.

Those of pixels and of training images are slow, and are computed by name only.
"""

from collections.abc import Callable, Collection

import torch
from torch import Tensor

from ....probes.attribution import integrated_gradients
from ....probes.attribution_scores import changed_pixels, frequency_energy, trigger_localisation
from ....probes.influence import influence
from ....probes.linear import LinearHead
from ....probes.lipschitz import channel_lipschitz
from ....probes.nulls import NO_INTERVAL, mean_interval
from ....representations.encoders import Encoder
from ....representations.errors import InputError
from ....training.triggers import Spectral
from ...results.reading import Reading, undefined

__all__ = ["BY_NAME", "NETWORK_READINGS", "network_readings"]

BY_NAME = ("attribution_iou", "attribution_energy", "frequency_energy", "influence_auc")
NETWORK_READINGS = ("channel_lipschitz", *BY_NAME)

Transform = Callable[[Tensor], Tensor]
MOST_EXPLAINED, MOST_TRAINED = 64, 128  # images behind the maps, and bank images behind the influence


def network_readings(
    encoder: Encoder,
    head: LinearHead,
    trigger: Transform,
    images: Tensor,
    bank: Tensor,
    target: int,
    wanted: Collection[str],
    *,
    intervals: bool = True,
) -> dict[tuple[str, str], Reading]:
    """Readings by (measure, subset).

    Args:
        head: a frozen head on the encoder's features. target: the column of the target class. images: the clean images
            behind the hits, uint8 ``(n, 3, H, W)``. bank: clean images of the target class, not held out.
    """
    found: dict[tuple[str, str], Reading] = {}
    if "channel_lipschitz" in wanted:
        found[("channel_lipschitz", "")] = _lipschitz(encoder)
    maps = {"attribution_iou", "attribution_energy", "frequency_energy"} & set(wanted)
    if not maps | {"influence_auc"} & set(wanted):
        return found
    clean = images[:MOST_EXPLAINED].float() / 255
    if len(clean) == 0:
        nothing = undefined("expected images that are sent to the target, received none")
        return found | {(name, "hits"): nothing for name in BY_NAME if name in wanted}
    triggered = trigger(clean)
    if maps - {"frequency_energy"}:
        located = trigger_localisation(
            integrated_gradients(encoder, head, triggered, target), changed_pixels(clean, triggered)
        )
        both = ("iou", located.iou, located.chance_iou), ("energy", located.energy, located.chance_energy)
        for name, scores, chance in both:
            if f"attribution_{name}" in wanted:
                found[(f"attribution_{name}", "hits")] = _mean(scores, float(chance.nanmean()), intervals)
    if "frequency_energy" in wanted:
        found[("frequency_energy", "hits")] = _frequencies(encoder, head, trigger, triggered, target, intervals)
    if "influence_auc" in wanted:
        found[("influence_auc", "hits")] = _influence(encoder, head, trigger, triggered, bank, target, intervals)
    return found


def _mean(scores: Tensor, chance: float, intervals: bool) -> Reading:
    defined = scores[~scores.isnan()]
    if len(defined) == 0:
        return undefined("expected maps and masks that are not empty")
    if chance > 0.9:
        return undefined("expected a trigger with a place of its own, received one that changes nearly every pixel")
    interval = mean_interval(defined) if intervals else NO_INTERVAL
    return Reading(float(defined.mean()), interval, len(defined), note=f"chance {chance:.4g}")


def _lipschitz(encoder: Encoder) -> Reading:
    """Share of channels that the Lipschitz rule flags, over all convolutions of the backbone."""
    try:
        layers = channel_lipschitz(encoder.backbone)
    except InputError as error:
        return undefined(str(error))
    flagged, count = sum(int(layer.flagged.sum()) for layer in layers), sum(len(layer.bounds) for layer in layers)
    worst = max(float((x.bounds.max() - x.bounds.mean()) / x.bounds.std(correction=0).clamp(min=1e-30)) for x in layers)
    # None of n values is farther than (n − 1)/√n SDs from their mean: so few channels cannot be flagged.
    narrow = sum(len(layer.bounds) for layer in layers if len(layer.bounds) <= 10)
    note = f"{flagged} channels over 3 SDs; largest {worst:.4g} SDs" + (
        f"; {narrow} in layers too narrow" if narrow else ""
    )
    if narrow == count:
        return undefined("expected a layer of more than 10 channels, of which one can lie 3 sds off the mean")
    return Reading(flagged / count, n=count, note=note)


def _frequencies(
    encoder: Encoder, head: LinearHead, trigger: Transform, triggered: Tensor, target: int, intervals: bool
) -> Reading:
    if not isinstance(trigger, Spectral):
        return undefined(f"expected a spectral trigger, received {type(trigger).__name__}")
    gradients = integrated_gradients(encoder, head, triggered, target, times_change=False)
    found = frequency_energy(gradients, trigger.places, trigger.window)
    return _mean(found.share, found.chance, intervals)


def _influence(
    encoder: Encoder,
    head: LinearHead,
    trigger: Transform,
    triggered: Tensor,
    bank: Tensor,
    target: int,
    intervals: bool,
) -> Reading:
    """AUC of influence on triggered test images: target-class images with the trigger against the same without it.

    It is ½ where clean images of the class support the backdoor as well.
    """
    if len(bank) < 4:
        return undefined(f"expected at least 4 bank images of the target class, received {len(bank)}")
    clean = bank[:MOST_TRAINED].float() / 255
    both = torch.cat([clean, trigger(clean)])

    def asked(images: Tensor) -> Tensor:
        return torch.full((len(images),), target)

    scores = influence([encoder], [head], both, asked(both), triggered, asked(triggered), projection=4096)
    plain, poisoned = scores.mean(0).view(2, -1)
    wins = (poisoned.unsqueeze(1) > plain).double() + (poisoned.unsqueeze(1) == plain).double() / 2
    placements = (wins.mean(1) + wins.mean(0)) / 2
    interval = mean_interval(placements) if intervals else NO_INTERVAL
    return Reading(float(placements.mean()), interval, len(clean), note="projected to 4096 dimensions")
