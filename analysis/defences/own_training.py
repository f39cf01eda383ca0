"""How the suspect was trained, as far as who trains knows it: recipe, labels and snapshots, but not the poisons."""

from dataclasses import dataclass, replace

import torch
from torch import Tensor

from ...checkpoints.store import Checkpoint, load_snapshot, snapshot_epochs
from ...representations.capture import evaluating
from ...representations.encoders import Encoder
from ...representations.errors import InputError
from ...representations.seeds import generator
from ...training.data import ImageSet
from ...training.experiment import Experiment
from ...training.learner import Learner, build_objective
from ...training.loop import Training

__all__ = ["OWN_LOSS", "OwnTraining"]

OWN_LOSS = ("supervised", "supcon", "contrastive")
"""Methods whose loss is that of single images and needs no slow copy or queue."""

EARLY = 0.2
"""Share of the epochs after which ABL isolates: 20 of their 100."""
DRAWS = 4


@dataclass(frozen=True)
class OwnTraining:
    """``experiment`` has the labels that the arm learned from and a mask without any poison; its images are not
    looked at: the suspect's, triggers and all, are given to each method."""

    checkpoint: Checkpoint
    experiment: Experiment

    def again(self, images: Tensor, keep: Tensor | None = None) -> Encoder:
        """A fresh encoder trained by the same recipe on ``images`` (uint8 ``(N, 3, H, W)``), or on those where ``keep``
        (bool ``(N,)``)."""
        e = self.experiment
        if e.arm.poisons == "model":
            raise InputError(f"defence: expected an arm that is trained from the start, received {e.recipe.arm}")
        kept = torch.ones(len(images), dtype=torch.bool) if keep is None else keep
        if int(kept.sum()) < e.recipe.batch:
            raise InputError(f"keep: expected at least a batch of {e.recipe.batch} images, received {int(kept.sum())}")
        train = ImageSet(images[kept], e.train.labels[kept], e.train.classes, e.train.name)
        plan = replace(e.plan, target_indices=(), other_indices=())
        recipe = e.recipe.replace(eval_every=e.recipe.epochs)
        mask = torch.zeros(len(train), dtype=torch.bool)
        fresh = Experiment(recipe, train, e.test, plan, mask, e.labels[kept])
        training = Training(fresh, self.checkpoint.encoder.mean.device)
        for epoch in range(training.schedule.epochs):
            training.epoch(epoch)
        return training.encoder.eval()

    @torch.no_grad()
    def early_losses(self, images: Tensor) -> Tensor:
        """The arm's own loss of each of its training ``images`` after a fifth of the epochs, float64 ``(N,)``: mean of
        four augmentations, in batches as large as in training and drawn by the run's seed, BN as in evaluation."""
        e = self.experiment
        method, seed = e.arm.method, e.recipe.seed
        if method not in OWN_LOSS:
            raise InputError(f"loss: expected a method of {', '.join(OWN_LOSS)}, received {method}")
        there = [epoch for epoch in snapshot_epochs(self.checkpoint.path) if epoch]
        epoch = min(there, key=lambda n: abs(n - EARLY * e.recipe.epochs))
        encoder, head = load_snapshot(self.checkpoint, epoch)
        device = self.checkpoint.encoder.mean.device
        encoder.to(device)
        objective = build_objective(e.recipe, method, encoder, len(e.train.classes))
        objective.load_state_dict(head)
        learner = Learner(encoder, objective.to(device), "float32", torch.contiguous_format, False)
        views, augment = (1 if method == "supervised" else 2), e.recipe.augment()
        total = torch.zeros(len(images), dtype=torch.float64)
        with evaluating(learner):
            for draw in range(DRAWS):
                order = torch.randperm(len(images), generator=generator(seed, "early-losses", draw))
                # Parts of one size, or nearly: the loss of a contrastive method grows with the negatives.
                parts = order.tensor_split(max(1, len(images) // e.recipe.batch))
                for place, index in enumerate(parts):
                    x = images[index].to(device).float() / 255
                    streams = (generator(seed, "early-views", draw, place, v) for v in range(views))
                    seen = torch.cat([augment(x, stream) for stream in streams])
                    loss = learner(seen, e.labels[index].to(device), views).per_sample
                    assert loss is not None
                    total[index] += loss.double().cpu() / DRAWS
        return total
