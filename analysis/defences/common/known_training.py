"""How the defender was trained, as far as who trains knows it: recipe, labels and an early snapshot; nothing of the
attack."""

from collections.abc import Callable
from dataclasses import dataclass, fields, replace

import torch
from torch import Tensor

from ....checkpoints.store import load_snapshot, snapshot_epochs
from ....representations.capture import evaluating
from ....representations.encoders import Encoder
from ....representations.errors import InputError
from ....representations.seeds import generator
from ....training.data import ImageSet
from ....training.experiment import Experiment
from ....training.loop import Training
from ....training.model import EncoderWithObjective, build_objective
from ....training.recipe import Recipe
from ...runs.run import Run

__all__ = ["OWN_LOSS", "KnownTraining", "known_training"]

OWN_LOSS = ("supervised", "supcon", "simclr", "simsiam")
"""Methods whose loss is that of single images, and needs no slow copy or queue, which snapshots have not."""

OF_THE_ATTACK = ("strength", "test_strength", "poison_fraction", "poison_base", "poison_choice", "target")
DRAWS = 4


@dataclass(frozen=True)
class KnownTraining:
    """``experiment``: recipe (its fields that begin with ``trigger``, and :data:`OF_THE_ATTACK`, at their defaults),
    images as they are found and the labels that the arm learned from, no poison marked. ``early``: encoder and heads
    of the first snapshot after the warm-up."""

    experiment: Experiment
    early: Callable[[], tuple[Encoder, dict[str, Tensor]]]
    device: torch.device

    def again(self, images: Tensor, keep: Tensor | None = None) -> Encoder:
        """A fresh encoder trained by the same recipe on ``images`` (uint8 ``(N, 3, H, W)``), or on those where ``keep``
        (bool ``(N,)``)."""
        e = self.experiment
        kept = torch.ones(len(images), dtype=torch.bool) if keep is None else keep
        if int(kept.sum()) < e.recipe.batch:
            raise InputError(f"keep: expected at least a batch of {e.recipe.batch} images, received {int(kept.sum())}")
        train = ImageSet(images[kept], e.train.labels[kept], e.train.classes, e.train.name)
        fresh = replace(e, train=train, mask=e.mask[kept], labels=train.labels)
        training = Training(fresh, self.device)
        for epoch in range(training.schedule.epochs):
            training.epoch(epoch)
        return training.encoder.eval()

    @torch.no_grad()
    def early_losses(self, images: Tensor) -> Tensor:
        """The arm's own loss of each of its training ``images``, float64 ``(N,)``, BN as in evaluation: of the image
        itself where the loss takes one view; where it takes two, the mean of four pairs of augmentations, in batches
        as large as in training."""
        e = self.experiment
        method, seed = e.arm.learner, e.recipe.seed
        if method not in OWN_LOSS:
            raise InputError(f"loss: expected a method of {', '.join(OWN_LOSS)}, received {method}")
        encoder, head = self.early()
        encoder.to(self.device)
        objective = build_objective(e.recipe, method, encoder, len(e.train.classes))
        objective.load_state_dict(head)
        learner = EncoderWithObjective(encoder, objective.to(self.device), "float32", torch.contiguous_format, False)
        views, augment = (1 if method == "supervised" else 2), e.recipe.augment()
        draws = 1 if views == 1 else DRAWS
        total = torch.zeros(len(images), dtype=torch.float64)
        with evaluating(learner):
            for draw in range(draws):
                order = torch.randperm(len(images), generator=generator(seed, "early-losses", draw))
                # Parts of one size, or nearly: the loss of a contrastive method grows with the negatives.
                for place, index in enumerate(order.tensor_split(max(1, len(images) // e.recipe.batch))):
                    x = images[index].to(self.device).float() / 255
                    streams = (generator(seed, "early-views", draw, place, v) for v in range(views))
                    seen = x if views == 1 else torch.cat([augment(x, stream) for stream in streams])
                    loss = learner(seen, e.labels[index].to(self.device), views).per_sample
                    assert loss is not None
                    total[index] += loss.double().cpu() / draws
        return total


def known_training(run: Run, images: Tensor, labels: Tensor) -> KnownTraining:
    """What of a run's training is no secret. ``images``: as they are found. ``labels``: those that the arm learned
    from, or pseudo-labels."""
    e, checkpoint = run.experiment, run.checkpoint
    hidden = {f.name: f.default for f in fields(Recipe) if f.name.startswith("trigger") or f.name in OF_THE_ATTACK}
    recipe = e.recipe.replace(**hidden, eval_every=e.recipe.epochs)
    train = ImageSet(images, labels, e.train.classes, e.train.name)
    plan = replace(e.plan, target=recipe.target, target_indices=(), other_indices=(), trigger="")

    def early() -> tuple[Encoder, dict[str, Tensor]]:
        after = [epoch for epoch in snapshot_epochs(checkpoint.path) if epoch >= recipe.warmup * recipe.epochs]
        if not after:
            raise InputError(f"checkpoint: expected snapshots in {checkpoint.path}, received none after the warm-up")
        return load_snapshot(checkpoint, after[0])

    experiment = Experiment(recipe, train, e.test, plan, torch.zeros(len(images), dtype=torch.bool), labels)
    return KnownTraining(experiment, early, checkpoint.encoder.mean.device)
