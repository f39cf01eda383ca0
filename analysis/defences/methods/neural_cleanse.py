"""Neural Cleanse (Wang et al., IEEE S&P 2019): a small trigger sends all images to a backdoored class."""

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
"""The paper's threshold on the anomaly index."""


@dataclass(frozen=True)
class ClassTriggers:
    """The trigger found for each of c classes.

    norms: L1 norm of the mask, ``(c,)``. reached: share of images that the trigger sends to the class. index: distance
    of the norm *below* the median in units of 1.4826·MAD; 0 above it. flagged: index above 2. (Of ten normal values,
    one is flagged in a third of all cases.) masks: ``(c, 1, H, W)``, in [0, 1]. patterns: ``(c, 3, H, W)``, in [0, 1].
    """

    norms: Tensor
    reached: Tensor
    index: Tensor
    flagged: Tensor
    masks: Tensor
    patterns: Tensor

    @property
    def score(self) -> float:
        """Largest index over its threshold; above 1 a class is flagged."""
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
    """Find, for each class, the smallest trigger that sends images to it.

    :func:`.smallest_trigger` minimises cross-entropy. The paper's patience and early stopping are not here.

    Args:
        clean: uint8 ``(m, 3, H, W)``, known to be clean. classifier: differentiable, float images in [0, 1] → logits
            ``(b, c)``. success: share of a batch that must reach the class.

    Raises:
        InputError: fewer than two images or three classes.
    """
    if len(clean) < 2 or classes < 3:
        raise InputError(f"clean, classes: expected at least 2 images and 3 classes, received {len(clean)}, {classes}")
    masks, patterns, reached = [], [], []
    for target in range(classes):

        def effect(x: Tensor, target: int = target) -> tuple[Tensor, bool]:
            logits = classifier(x)
            # No ASR: the batch is clean images of all classes, the target's too, as in the paper.
            sent = float((logits.argmax(1) == target).double().mean())
            return cross_entropy(logits, torch.full_like(logits[:, 0], target, dtype=torch.int64)), sent >= success

        mask, pattern = smallest_trigger(clean, effect, generator(seed, "neural-cleanse", target), steps=steps)
        with torch.no_grad():
            sent = classifier((1 - mask) * clean.float() / 255 + mask * pattern).argmax(1) == target
        masks.append(mask)
        patterns.append(pattern)
        reached.append(float(sent.double().mean()))
    norms = torch.stack(masks).double().sum((1, 2, 3)).cpu()
    index = above_median(-norms)
    triggers = torch.stack(masks), torch.stack(patterns)
    return ClassTriggers(norms, torch.tensor(reached, dtype=torch.float64), index, index > FLAGGED, *triggers)
