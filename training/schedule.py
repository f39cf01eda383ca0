"""Learning rate and snapshots as functions of the step, so that they need no state."""

import math

from .recipe import Recipe

__all__ = ["learning_rate", "snapshot_schedule"]


def learning_rate(recipe: Recipe, step: int, steps: int) -> float:
    """The learning rate of a step.

    ``onecycle``: a cosine from lr/25 up to lr over the warm-up, then down to lr/10⁴ (Smith and Topin, 2019).
    ``epochs``: a line from 0 to lr over the warm-up, then a cosine to 0, in whole epochs: the first has rate 0.
    """
    if recipe.schedule == "epochs":
        epoch = step * recipe.epochs // steps
        first = round(recipe.warmup * recipe.epochs)
        if epoch < first:
            return recipe.lr * epoch / first
        return recipe.lr * (1 + math.cos(math.pi * (epoch - first) / max(1, recipe.epochs - first))) / 2
    rising = recipe.warmup * steps
    if step < rising:
        start, end, part = recipe.lr / 25, recipe.lr, step / rising
    else:
        start, end, part = recipe.lr, recipe.lr / 1e4, (step - rising) / max(1.0, steps - 1 - rising)
    return end + (start - end) * (1 + math.cos(math.pi * part)) / 2


def snapshot_schedule(epochs: int) -> list[int]:
    """Epochs with a snapshot: log-spaced at first, because the tasks are learned early, then regular, and the last.

    >>> snapshot_schedule(40)
    [1, 2, 4, 8, 10, 15, 20, 25, 30, 35, 40]
    """
    early = {2**i for i in range(epochs.bit_length()) if 2**i <= max(1, epochs // 4)}
    step = -(-epochs // 8)
    return sorted(early | {epoch for epoch in range(step, epochs, step) if epoch > max(early)} | {epochs})
