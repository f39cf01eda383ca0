"""What a defender has: an encoder under suspicion, the images it was trained on, and a few that are known to be clean.

Nothing in here says which images are poisoned: a defence cannot look.
"""

from dataclasses import dataclass, replace
from functools import cached_property

import numpy as np
import torch
from sklearn.cluster import KMeans
from torch import Tensor
from torch.nn.functional import linear, normalize

from ...probes.logistic import LogisticProbe, fit_logistic
from ...representations.capture import capture
from ...representations.encoders import FEATURES, Encoder
from ...representations.errors import InputError
from ...representations.seeds import derive_seed, generator
from ...training.augment import Augment
from ..runs import Run
from .own_training import OwnTraining

__all__ = ["LABELS", "Suspect", "suspect_of"]

LABELS = ("given", "pseudo", "true")


@dataclass(frozen=True)
class Suspect:
    """``images`` uint8 ``(N, 3, H, W)``: the training set as it is found, triggers and all.

    ``labels`` int64 ``(N,)``, by ``source``: ``given``, what came with the images and the arm learned from; ``pseudo``,
    k-means on the features where it learned from none; ``true``, an oracle. ``clean``, ``clean_labels``: images known
    to be clean, the budget of every defence, and their true classes; ``clean_groups``: where ``labels`` would put them.
    ``augment``: that of training. ``seed`` drives whatever a defence draws.
    ``training``: for who trains the encoder himself.
    """

    encoder: Encoder
    images: Tensor
    labels: Tensor
    source: str
    clean: Tensor
    clean_labels: Tensor
    clean_groups: Tensor
    augment: Augment
    seed: int
    training: OwnTraining

    @cached_property
    def features(self) -> Tensor:
        """Of the training images at the tap, ``(N, d)``."""
        return capture(self.encoder, self.images, layers=[FEATURES])[FEATURES]

    @cached_property
    def clean_features(self) -> Tensor:
        """Of the clean images at the tap, ``(m, d)``."""
        return capture(self.encoder, self.clean, layers=[FEATURES])[FEATURES]

    @cached_property
    def probe(self) -> LogisticProbe:
        """The classifier of defences that need one, the same for all arms: logistic regression on the clean images'
        normalised features. (A contrastive encoder has none of its own.)"""
        return fit_logistic(normalize(self.clean_features.double(), dim=1), self.clean_labels)

    @cached_property
    def losses(self) -> Tensor:
        """The arm's own loss of each training image early in training, ``(N,)``."""
        return self.training.early_losses(self.images)

    def classifier(self, images: Tensor) -> Tensor:
        """Logits of :attr:`probe`, float images in [0, 1] → ``(n, classes)``, differentiable."""
        head = self.probe.weight.float().to(images.device), self.probe.bias.float().to(images.device)
        return linear(normalize(self.encoder(images), dim=1), *head)

    def predict(self, images: Tensor) -> Tensor:
        """Class probabilities by :attr:`probe`, float images in [0, 1] → ``(n, classes)``."""
        features = capture(self.encoder, (images * 255).round().to(torch.uint8), layers=[FEATURES])[FEATURES]
        return self.probe(normalize(features.double(), dim=1)).softmax(1)


def suspect_of(run: Run, *, labels: str = "given", budget: float = 0.1) -> tuple[Suspect, Tensor]:
    """The suspect that a run makes, and beside it the truth, bool ``(N,)``: which training images are poisoned.

    The clean images are ``budget`` of the training set, drawn by the run's seed among those that no arm of its plan
    poisons, so that every arm's defender has the same; they carry their true labels.

    Args:
        labels: one of :data:`LABELS`. For an arm that learned from none, ``given`` are its ``pseudo`` labels.
    """
    if labels not in LABELS:
        raise InputError(f"labels: expected one of {', '.join(LABELS)}, received {labels!r}")
    if not 0 <= budget < 1:
        raise InputError(f"budget: expected a share of the training set in [0, 1), received {budget}")
    e = run.experiment
    images = e.train.images.clone()
    triggered = e.train_trigger(images[e.mask].float() / 255) if e.mask.any() else images[e.mask].float()
    images[e.mask] = (triggered * 255).round().clamp(0, 255).to(torch.uint8)
    free = torch.ones(len(images), dtype=torch.bool)
    free[[*e.plan.target_indices, *e.plan.other_indices]] = False
    pool = free.nonzero().flatten()
    count = round(budget * len(images))
    if count > len(pool):
        raise InputError(f"budget: expected at most {len(pool)} images that no arm poisons, received {count}")
    chosen = pool[torch.randperm(len(pool), generator=generator(e.recipe.seed, "clean-budget"))[:count]].sort().values
    clean, clean_labels = e.train.images[chosen], e.train.labels[chosen]
    source = "pseudo" if labels == "given" and not e.arm.labelled else labels
    if source == "pseudo":
        known, groups = _clusters(run.encoder, images, clean, len(e.train.classes), e.recipe.seed)
    else:
        known, groups = (e.labels if source == "given" else e.train.labels), clean_labels
    of_data = images, known, source, clean, clean_labels, groups
    training = OwnTraining(run.checkpoint, replace(e, mask=torch.zeros_like(e.mask)))
    return Suspect(run.encoder, *of_data, e.recipe.augment(), e.recipe.seed, training), e.mask.clone()


def _clusters(encoder: Encoder, images: Tensor, clean: Tensor, classes: int, seed: int) -> tuple[Tensor, Tensor]:
    """k-means on the normalised features of ``images``: their clusters, int64, and those nearest to ``clean``."""
    state = derive_seed(seed, "pseudo-labels") % 2**32
    x = _directions(encoder, images)
    found = KMeans(classes, n_init=10, random_state=state).fit(x)
    nearest = found.predict(_directions(encoder, clean)) if len(clean) else found.labels_[:0]
    return torch.from_numpy(found.labels_).long(), torch.from_numpy(nearest).long()


def _directions(encoder: Encoder, images: Tensor) -> np.ndarray:
    return normalize(capture(encoder, images, layers=[FEATURES])[FEATURES].double(), dim=1).numpy()
