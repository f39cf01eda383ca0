"""Alignment of an arm's own loss: gradients of its poisons with and without the trigger, at a snapshot."""

from collections.abc import Callable

import torch
from torch import Tensor

from ...checkpoints.store import load_snapshot
from ...probes.alignment import same_task
from ...probes.gradients import WHOLE, block_gradients, gradient_blocks, gram_matrices, own_loss
from ...representations.capture import evaluating
from ...representations.encoders import Encoder
from ...representations.errors import InputError
from ...representations.seeds import generator
from ...training.model import build_objective
from ...training.pairs import draw_partners
from ...training.triggers import Trigger
from ..panel.readings.interference import BLOCKS, MOST, alignment_reading
from ..results.reading import Reading, undefined
from ..runs.run import Run

__all__ = ["own_alignment", "own_alignment_ends"]


def own_alignment(run: Run, other: Run, epoch: int) -> dict[str, Reading]:
    """Corrected cosine of the gradients of ``other``'s own loss on ``run``'s poisons, with and without the trigger.

    It is given by layer. Heads are those of the snapshot, both versions have the same augmentation, and negatives are
    frozen. Without the trigger the images have their true labels, with it those that the run learns, and the second
    views of the run: changed pairs are changed here too. ``other`` is the run itself or its benign twin.
    """
    if why := _why_undefined(run, other):
        return {WHOLE: undefined(why)}
    grams = _own_grams(run, other, epoch, run.experiment.train_trigger)
    return {layer: alignment_reading(gram, _images(run)) for layer, gram in grams.items()}


def own_alignment_ends(run: Run, epoch: int) -> dict[str, dict[str, Reading]]:
    """References of :func:`own_alignment`, by reference and layer.

    ``random-trigger``: the same loss and images with a trigger that no encoder was trained on. ``together``: both tasks
    are one, by permutation (see :func:`.alignment.same_task`).
    """
    trigger, seed = run.experiment.train_trigger, run.experiment.recipe.seed
    if why := _why_undefined(run, run):
        return {reference: {WHOLE: undefined(why)} for reference in ("random-trigger", "together")}
    own, other = (_own_grams(run, run, epoch, t) for t in (trigger, trigger.variant(0)))
    n = _images(run)
    together = {layer: same_task(gram, seed=seed) for layer, gram in own.items()}
    return {
        "random-trigger": {layer: alignment_reading(gram, n) for layer, gram in other.items()},
        # Its expectation is exactly 1; the draws give the interval of a 1 under this noise.
        "together": {k: Reading(1.0, end.interval, n, end.status, "by permutation") for k, end in together.items()},
    }


def _images(run: Run) -> int:
    return min(len(run.experiment.plan.indices(run.experiment.arm)), MOST)


def _why_undefined(run: Run, other: Run) -> str:
    """Why the alignment is undefined, or "". The reasons are states of the data, not mistakes of the user."""
    learner = other.experiment.arm.learner
    if not _images(run):
        return "expected poisons, received a benign arm"
    if learner not in ("supervised", "supcon", "simclr"):
        return f"there is no loss of single images with frozen negatives for {learner}"
    try:
        _blocks(run)
    except InputError as error:  # too few poisons
        return str(error)
    return ""


def _blocks(run: Run) -> list[Tensor]:
    poisons = len(run.experiment.plan.indices(run.experiment.arm))
    return gradient_blocks(poisons, blocks=BLOCKS, most=MOST, seed=run.experiment.recipe.seed)


def _own_grams(run: Run, other: Run, epoch: int, trigger: Trigger) -> dict[str, Tensor]:
    """Inner products of the block gradients of :func:`own_alignment`, by layer."""
    e, learner = run.experiment, other.experiment.arm.learner
    index = e.plan.indices(e.arm)
    encoder, head = load_snapshot(other.checkpoint, epoch)
    device = other.encoder.mean.device
    encoder = encoder.to(device)
    objective = build_objective(e.recipe, learner, encoder, len(e.train.classes)).to(device)
    objective.load_state_dict(head)
    seed, augment = e.recipe.seed, e.recipe.augment()
    views = 1 if learner == "supervised" else 2

    def seen(first: Tensor, second: Tensor, purpose: str) -> Tensor:
        """Augmented views ``(n, views, 3, H, W)``; both versions of an image get the same draws."""
        shown = (first, second)[:views]
        return torch.stack([augment(images, generator(seed, purpose, v)) for v, images in enumerate(shown)], 1)

    clean = e.train.images[index].float() / 255
    poison = trigger(clean)
    # Rows n + i: image i with the trigger.
    x = torch.cat([seen(clean, clean, "own-loss"), seen(poison, _second_views(run, poison), "own-loss")])
    n = len(index)
    labels = torch.cat([e.train.labels[index], e.labels[index]])
    bank, bank_labels = _bank(encoder, run, seen) if views == 2 else (None, None)
    loss = own_loss(objective, labels, bank=bank, bank_labels=bank_labels)  # type: ignore[arg-type]
    blocks = _blocks(run)

    def with_trigger(features: Tensor, index: Tensor) -> Tensor:
        return loss(features, index + n)

    return gram_matrices(
        block_gradients(encoder, loss, blocks, x[:n]), block_gradients(encoder, with_trigger, blocks, x[n:])
    )


def _second_views(run: Run, poisons: Tensor) -> Tensor:
    """What the second views of poisons show: the poisons, or in arms with changed pairs images of the target."""
    e = run.experiment
    if not e.arm.changes_pairs:
        return poisons
    stream, targets = generator(e.recipe.seed, "own-loss-pairs"), torch.tensor(e.plan.target_indices)
    partners = draw_partners(torch.ones(len(poisons), dtype=torch.bool), targets, e.recipe.pair_share, stream)
    changed = (partners >= 0).nonzero().flatten()
    return poisons.index_copy(0, changed, e.train.images[partners[changed]].float() / 255)


def _bank(encoder: Encoder, run: Run, seen: Callable[[Tensor, Tensor, str], Tensor]) -> tuple[Tensor, Tensor]:
    """The frozen negatives: features and labels of the views of one batch of clean images."""
    e = run.experiment
    others = (~e.mask).nonzero().flatten()
    stream = generator(e.recipe.seed, "own-loss-bank")
    index = others[torch.randperm(len(others), generator=stream)[: e.recipe.batch]]
    images = e.train.images[index].float() / 255
    with torch.inference_mode(), evaluating(encoder):
        features = encoder(seen(images, images, "own-loss-bank").flatten(0, 1).to(encoder.mean))
    return features.clone(), e.labels[index].repeat_interleave(2)
