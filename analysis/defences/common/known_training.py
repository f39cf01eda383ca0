"""What a defender who trains the encoder knows: recipe, labels and an early snapshot, but nothing of the attack."""

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
"""Learners with a loss of single images, and without a momentum encoder or queue, which snapshots do not have."""

OF_THE_ATTACK = (
    *("strength", "test_strength", "poison_fraction", "poison_base", "poison_choice", "target", "pair_share"),
    *("trigger_frequency", "trigger_wave"),
)
DRAWS = 4


@dataclass(frozen=True)
class KnownTraining:
    """The training of an encoder without its attack.

    experiment: recipe, images as they were found, and the labels that the arm learned from; no image is marked as
        poisoned. Recipe fields of the trigger, and :data:`OF_THE_ATTACK`, have their defaults.
    early: returns encoder and heads of the first snapshot after the warm-up.
    """

    experiment: Experiment
    early: Callable[[], tuple[Encoder, dict[str, Tensor]]]
    device: torch.device

    def again(self, images: Tensor, mask: Tensor | None = None) -> Encoder:
        """Train a new encoder by the same recipe on ``images``, uint8 ``(N, 3, H, W)``.

        Args:
            mask: bool ``(N,)``, which images to use; all by default.

        Raises:
            InputError: the mask has fewer images than a batch.
        """
        e = self.experiment
        used = torch.ones(len(images), dtype=torch.bool) if mask is None else mask
        if int(used.sum()) < e.recipe.batch:
            raise InputError(f"mask: expected at least a batch of {e.recipe.batch} images, received {int(used.sum())}")
        train = ImageSet(images[used], e.train.labels[used], e.train.classes, e.train.name)
        fresh = replace(e, train=train, mask=e.mask[used], labels=train.labels)
        training = Training(fresh, self.device)
        for epoch in range(training.schedule.epochs):
            training.epoch(epoch)
        return training.encoder.eval()

    @torch.no_grad()
    def early_losses(self, images: Tensor) -> Tensor:
        """Loss of each training image by the arm's own loss, float64 ``(N,)``, with BatchNorm in evaluation mode.

        A loss of one view takes the image itself. For a loss of two views the result is the mean over four pairs of
        augmentations, in batches as large as in training.

        Raises:
            InputError: the learner has no loss of single images.
        """
        e = self.experiment
        name, seed = e.arm.learner, e.recipe.seed
        if name not in OWN_LOSS:
            raise InputError(f"loss: expected a learner of {', '.join(OWN_LOSS)}, received {name}")
        encoder, head = self.early()
        encoder.to(self.device)
        objective = build_objective(e.recipe, name, encoder, len(e.train.classes))
        objective.load_state_dict(head)
        learner = EncoderWithObjective(encoder, objective.to(self.device), "float32", torch.contiguous_format, False)
        views, augment = (1 if name == "supervised" else 2), e.recipe.augment()
        draws = 1 if views == 1 else DRAWS
        total = torch.zeros(len(images), dtype=torch.float64)
        with evaluating(learner):
            for draw in range(draws):
                order = torch.randperm(len(images), generator=generator(seed, "early-losses", draw))
                # Parts of nearly one size: a contrastive loss grows with the number of negatives.
                for place, index in enumerate(order.tensor_split(max(1, len(images) // e.recipe.batch))):
                    x = images[index].to(self.device).float() / 255
                    streams = (generator(seed, "early-views", draw, place, v) for v in range(views))
                    seen = x if views == 1 else torch.cat([augment(x, stream) for stream in streams])
                    loss = learner(seen, e.labels[index].to(self.device), views).per_sample
                    assert loss is not None
                    total[index] += loss.double().cpu() / draws
        return total


def known_training(run: Run, images: Tensor, labels: Tensor) -> KnownTraining:
    """The training of a run without its attack. images: as they were found. labels: given or pseudo-labels."""
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
