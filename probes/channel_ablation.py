"""Ablation of channels, both ways: does the class need the trigger's channels, and the backdoor the class's?

The channels of a layer are ranked twice: by how far the trigger moves them, and by how far the target class differs
from the others in them. The first of each list are set to their clean mean, and the forward pass goes on.
"""

from collections.abc import Callable
from dataclasses import dataclass

import torch
from torch import Tensor

from ..representations.encoders import Encoder
from ..representations.errors import InputError
from ..representations.seeds import generator
from .linear import standardiser
from .patching import activations, cuts, run_edited, unit_interval

__all__ = ["ChannelAblation", "ablate_channels", "ranked_channels"]

SHARE = 0.1


@dataclass(frozen=True)
class ChannelAblation:
    """Scores 0 or 1: is each image sent to the target? Row 0: before; 1: without the trigger's channels; 2: without
    the class's; the rest: without as many random channels.

    triggered: of triggered images, float64 ``(3 + draws, n)``. of_target: of clean target images. trigger_channels,
    class_channels: int64 ``(k,)``, strongest first.
    """

    triggered: Tensor
    of_target: Tensor
    trigger_channels: Tensor
    class_channels: Tensor

    @property
    def asr_lost(self) -> Tensor:
        """Score before minus after, one an image: without the trigger's channels, the class's, random ones."""
        return self.triggered[0] - self.triggered[1:]

    @property
    def recall_lost(self) -> Tensor:
        return self.of_target[0] - self.of_target[1:]

    @property
    def shared(self) -> int:
        """Number of channels in both lists."""
        return len(set(self.trigger_channels.tolist()) & set(self.class_channels.tolist()))


def ranked_channels(clean: Tensor, triggered: Tensor, labels: Tensor, target: int) -> tuple[Tensor, Tensor]:
    """Channels by how far the trigger moves them, and by how far the class differs in them, int64 ``(d,)`` each.

    Both are in standard deviations of the clean images: the mean of |h_j(x⊕r) − h_j(x)|, and |mean over the class −
    mean over the others|. A channel that is constant on clean images has no standard deviation and comes last in the
    second list; in the first it comes first if the trigger moves it.

    Args:
        clean, triggered: activations of the same images, ``(m, d)``. labels: int64 ``(m,)``.
    """
    if clean.ndim != 2 or clean.shape != triggered.shape or labels.shape != (len(clean),):
        shapes = tuple(clean.shape), tuple(triggered.shape), tuple(labels.shape)
        raise InputError(f"clean, triggered, labels: expected (m, d), (m, d), (m,), received {shapes}")
    of_target = labels == target
    if not of_target.any() or of_target.all():
        raise InputError(f"target: expected {target} and another class, received {labels.unique().tolist()}")
    clean, triggered = clean.double(), triggered.double()
    unit = standardiser(clean)[1]
    moved = (triggered - clean).abs().mean(0)
    by_trigger = torch.where((unit == 0) & (moved > 0), torch.inf, moved * unit)
    by_class = (clean[of_target].mean(0) - clean[~of_target].mean(0)).abs() * unit
    return by_trigger.argsort(descending=True, stable=True), by_class.argsort(descending=True, stable=True)


def ablate_channels(
    encoder: Encoder,
    layer: str,
    triggered: Tensor,
    of_target: Tensor,
    bank: tuple[Tensor, Tensor],
    bank_triggered: Tensor,
    predict: Callable[[Tensor], Tensor],
    target: int,
    *,
    share: float = SHARE,
    draws: int = 3,
    seed: int = 0,
) -> ChannelAblation:
    """Scores before and after the strongest channels of the trigger, of the class, and random ones are ablated.

    Args:
        triggered: held-out images with the trigger that the evaluator sends to the target, ``(n, 3, H, W)``.
        of_target: clean held-out images of the target class. bank, bank_triggered: activations of images that are not
            held out, averaged over positions, as for :func:`.collateral.collateral`.
        share: of the channels that is ablated, in (0, 1); at least one channel. An ablated channel has its mean over
            the clean bank at every position.

    Raises:
        InputError: no images, unequal shapes, an unknown layer, a share out of range.

    Cost: n + n_t forward passes, then (3 + draws)·(n + n_t) passes from the layer on.
    """
    if not 0 < share < 1 or draws < 1:
        raise InputError(f"share, draws: expected 0 < share < 1 and at least 1, received {share} and {draws}")
    if len(triggered) == 0 or len(of_target) == 0:
        raise InputError("triggered, of_target: expected at least one image in each, received none")
    clean, labels = bank
    by_trigger, by_class = ranked_channels(clean, bank_triggered, labels, target)
    d = clean.shape[1]
    count = max(1, round(share * d))
    mean = clean.double().mean(0)

    def ablation(channels: Tensor) -> Callable[[Tensor], Tensor]:
        mask = torch.zeros(d, dtype=torch.bool)
        mask[channels] = True
        return lambda x: torch.where(mask.to(x.device), mean.to(x.device, x.dtype), x)

    stream = generator(seed, "ablation", layer)
    random = [torch.randperm(d, generator=stream)[:count] for _ in range(draws)]
    lists = [torch.zeros(0, dtype=torch.int64), by_trigger[:count], by_class[:count], *random]
    alone, both = cuts(encoder, layer, of_target), torch.cat([unit_interval(triggered), unit_interval(of_target)])
    held = activations(encoder, both, [layer])[layer]
    features = run_edited(encoder, layer, held, both, [ablation(channels) for channels in lists], alone=alone)
    says = (predict(features.flatten(0, 1)) == target).double().view(features.shape[:2])
    return ChannelAblation(says[:, : len(triggered)], says[:, len(triggered) :], lists[1], lists[2])
