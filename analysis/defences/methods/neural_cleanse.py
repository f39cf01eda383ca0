"""Neural Cleanse (Wang et al., IEEE S&P 2019): a backdoored class is reached from everywhere by a small change."""

from collections.abc import Callable
from dataclasses import dataclass

import torch
from torch import Tensor
from torch.nn.functional import cross_entropy

from ....representations.errors import InputError
from ....representations.seeds import generator
from ..common.inversion import smallest_trigger
from ..common.robust import above_median

__all__ = ["ClassTriggers", "neural_cleanse"]

FLAGGED = 2.0
"""Their threshold on the anomaly index."""


@dataclass(frozen=True)
class ClassTriggers:
    """Of each class: ``norms``, L1 norm of the mask that sends images there ``(c,)``; ``reached``, share of images that
    it sends; ``index``, how far the norm lies *below* the median in units of 1.4826·MAD, 0 above it; ``flagged``, index
    above 2 (of ten normal values one is, in a third of all cases). ``masks`` ``(c, 1, H, W)`` and ``patterns``
    ``(c, 3, H, W)``, in [0, 1]."""

    norms: Tensor
    reached: Tensor
    index: Tensor
    flagged: Tensor
    masks: Tensor
    patterns: Tensor

    @property
    def score(self) -> float:
        """The largest index over its threshold: above 1, a class is flagged."""
        return float(self.index.max()) / FLAGGED


def neural_cleanse(
    clean: Tensor,
    classifier: Callable[[Tensor], Tensor],
    classes: int,
    *,
    steps: int = 300,
    success: float = 0.99,
    seed: int = 0,
) -> ClassTriggers:
    """For each class, the smallest mask and a pattern for which images are classified there
    (:func:`.smallest_trigger` on cross-entropy; their patience and early stopping are not here).

    Args:
        clean: uint8 ``(m, 3, H, W)``, known to be clean. classifier: float images in [0, 1] → logits ``(b, c)``,
            differentiable. success: share of a batch that must be sent.
    """
    if len(clean) < 2 or classes < 3:
        raise InputError(f"clean, classes: expected at least 2 images and 3 classes, received {len(clean)}, {classes}")
    masks, patterns, reached = [], [], []
    for target in range(classes):

        def judge(x: Tensor, target: int = target) -> tuple[Tensor, bool]:
            logits = classifier(x)
            sent = float((logits.argmax(1) == target).double().mean())
            return cross_entropy(logits, torch.full_like(logits[:, 0], target, dtype=torch.int64)), sent >= success

        mask, pattern = smallest_trigger(clean, judge, generator(seed, "neural-cleanse", target), steps=steps)
        with torch.no_grad():
            sent = classifier((1 - mask) * clean.float() / 255 + mask * pattern).argmax(1) == target
        masks.append(mask)
        patterns.append(pattern)
        reached.append(float(sent.double().mean()))
    norms = torch.stack(masks).double().sum((1, 2, 3)).cpu()
    index = above_median(-norms)
    triggers = torch.stack(masks), torch.stack(patterns)
    return ClassTriggers(norms, torch.tensor(reached, dtype=torch.float64), index, index > FLAGGED, *triggers)
