"""The defender: an encoder, its training images, and a few images known to be clean.

A defender does not know which images are poisoned, or with what trigger.
"""

from dataclasses import dataclass
from functools import cached_property

import numpy as np
import torch
from sklearn.cluster import KMeans
from torch import Tensor
from torch.nn.functional import linear, normalize

from ....probes.logistic import LogisticProbe, fit_logistic
from ....representations.capture import capture, evaluating, recording
from ....representations.encoders import FEATURES, Encoder
from ....representations.errors import InputError
from ....representations.seeds import derive_seed, generator
from ....training.augment import Augment
from ...runs.run import Run
from .known_training import KnownTraining, known_training

__all__ = ["LABELS", "Defender", "defender_of"]

LABELS = ("given", "pseudo", "true")


@dataclass(frozen=True)
class Defender:
    """All that a defence may use.

    images: the training set as it was found, poisons included, uint8 ``(N, 3, H, W)``.
    labels: int64 ``(N,)``. source: where they come from. ``given``: the labels that the arm learned from; ``pseudo``:
        k-means on the features, where it learned from none; ``true``: an oracle.
    known: int64 ``(m,)``, which images are known to be clean: the budget. clean_labels: their true classes.
        clean_groups: their ``labels``.
    augment: the augmentation of training. seed: drives the draws of defences. training: how the encoder was trained,
        for a defender who trains it.
    """

    encoder: Encoder
    images: Tensor
    labels: Tensor
    source: str
    known: Tensor
    clean_labels: Tensor
    augment: Augment
    seed: int
    training: KnownTraining

    @property
    def clean(self) -> Tensor:
        return self.images[self.known]

    @property
    def clean_groups(self) -> Tensor:
        return self.labels[self.known]

    @cached_property
    def features(self) -> Tensor:
        """Features of the training images at the output, ``(N, d)``."""
        return capture(self.encoder, self.images, layers=[FEATURES])[FEATURES]

    @property
    def clean_features(self) -> Tensor:
        """Features of the clean images at the output, ``(m, d)``."""
        return self.features[self.known]

    @cached_property
    def maps(self) -> Tensor:
        """Feature maps of the training images at the last layer that has maps, ``(N, c, h, w)``."""
        maps: list[Tensor] = []
        with torch.inference_mode(), evaluating(self.encoder), recording(self.encoder, self.encoder.layers) as outputs:
            for part in self.images.split(256):
                self.encoder(part.to(self.encoder.mean.device))
                last = [x for x in outputs.values() if x.ndim == 4]
                if not last:
                    raise InputError("encoder: expected a layer with maps (n, c, h, w), received none")
                maps.append(last[-1].cpu())
        return torch.cat(maps)

    @cached_property
    def probe(self) -> LogisticProbe:
        """A classifier for defences that need one: logistic regression on normalised features of the clean images.

        It is the same for all arms, because contrastive encoders have no classifier.
        """
        return fit_logistic(normalize(self.clean_features.double(), dim=1), self.clean_labels)

    @cached_property
    def halves(self) -> tuple[Tensor, Tensor]:
        """Rows of ``clean`` in two halves: one to fit on, one to choose a threshold."""
        order = torch.randperm(len(self.known), generator=generator(self.seed, "halves"))
        first, second = order.tensor_split(2)
        return first, second

    @cached_property
    def half_probe(self) -> LogisticProbe:
        """:attr:`probe`, fitted to the first half."""
        rows = self.halves[0]
        return fit_logistic(normalize(self.clean_features[rows].double(), dim=1), self.clean_labels[rows])

    @cached_property
    def losses(self) -> Tensor:
        """Loss of each training image early in training, by the arm's own loss, ``(N,)``."""
        return self.training.early_losses(self.images)

    def classifier(self, images: Tensor) -> Tensor:
        """Differentiable logits of :attr:`probe`: float images in [0, 1] → ``(n, classes)``."""
        head = self.probe.weight.float().to(images.device), self.probe.bias.float().to(images.device)
        return linear(normalize(self.encoder(images), dim=1), *head)

    def predict(self, images: Tensor) -> Tensor:
        """Class probabilities of :attr:`half_probe`: float images in [0, 1] → ``(n, classes)``."""
        features = capture(self.encoder, (images * 255).round().to(torch.uint8), layers=[FEATURES])[FEATURES]
        return self.half_probe(normalize(features.double(), dim=1)).softmax(1)


def defender_of(run: Run, *, labels: str = "given", budget: float = 0.1) -> tuple[Defender, Tensor]:
    """The defender of a run, and the truth: which training images are poisoned, bool ``(N,)``.

    The clean images are a share ``budget`` of each class, with their true labels. The run's seed draws them from those
    that no arm of its plan poisons: the defenders of all arms have the same ones.

    Args:
        labels: one of :data:`LABELS`. For an arm that learned from no labels, ``given`` means ``pseudo``.

    Raises:
        InputError: a class has too few images that no arm poisons.
    """
    if labels not in LABELS:
        raise InputError(f"labels: expected one of {', '.join(LABELS)}, received {labels!r}")
    if not 0 <= budget < 1:
        raise InputError(f"budget: expected a share of the training set in [0, 1), received {budget}")
    e = run.experiment
    images = e.train.images.clone()
    if e.mask.any():
        images[e.mask] = (e.train_trigger(images[e.mask].float() / 255) * 255).round().clamp(0, 255).to(torch.uint8)
    known = _budget(run, budget)
    source = "pseudo" if labels == "given" and not e.arm.labelled else labels
    if source == "pseudo":
        used = _clusters(run.encoder, images, len(e.train.classes), e.recipe.seed)
    else:
        used = e.labels if source == "given" else e.train.labels
    training = known_training(run, images, e.labels if e.arm.labelled else used)
    about = known, e.train.labels[known], e.recipe.augment(), e.recipe.seed, training
    return Defender(run.encoder, images, used, source, *about), e.mask.clone()


def _budget(run: Run, budget: float) -> Tensor:
    """Indices of the clean images, ascending."""
    e = run.experiment
    free = torch.ones(len(e.train), dtype=torch.bool)
    free[[*e.plan.target_indices, *e.plan.other_indices]] = False
    stream, chosen = generator(e.recipe.seed, "clean-budget"), []
    for label, count in zip(*e.train.labels.unique(return_counts=True), strict=True):
        pool, wanted = (free & (e.train.labels == label)).nonzero().flatten(), round(budget * int(count))
        if wanted > len(pool):
            raise InputError(
                f"budget: expected at most the {len(pool)} images of class {e.train.classes[label]} that no arm "
                f"poisons, received {wanted}"
            )
        chosen.append(pool[torch.randperm(len(pool), generator=stream)[:wanted]])
    return torch.cat(chosen).sort().values


def _clusters(encoder: Encoder, images: Tensor, classes: int, seed: int) -> Tensor:
    """Pseudo-labels, int64 ``(N,)``: clusters of k-means on normalised features."""
    state = derive_seed(seed, "pseudo-labels") % 2**32
    x: np.ndarray = normalize(capture(encoder, images, layers=[FEATURES])[FEATURES].double(), dim=1).numpy()
    return torch.from_numpy(KMeans(classes, n_init=10, random_state=state).fit(x).labels_).long()
