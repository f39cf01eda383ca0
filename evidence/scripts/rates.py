"""Rates of an encoder beyond those that training reports: by other evaluators, and under triggers it never saw."""

from collections.abc import Callable

import torch
from intertwine.representations.capture import capture
from intertwine.representations.encoders import FEATURES, Encoder
from intertwine.representations.evaluators import attack_success, knn_predict, ridge_predict
from intertwine.representations.seeds import generator
from intertwine.training.experiment import Experiment
from torch import Tensor

FEWER = 5000
"""Training images that a panel takes as its bank by default."""
UNSEEN = 2
"""Triggers of the kind that no image was trained with."""


def bank_order(experiment: Experiment) -> Tensor:
    """Training images in the order in which a panel takes them into its bank."""
    return torch.randperm(len(experiment.train), generator=generator(experiment.recipe.seed, "bank-images"))


def by_other_evaluators(encoder: Encoder, experiment: Experiment, order: Tensor) -> dict[str, float]:
    """ASR by the ridge probe on all training images, and by kNN on the first :data:`FEWER` of them in ``order``."""
    e, fewer = experiment, order[:FEWER].sort().values
    bank = capture(encoder, e.train.images, layers=[FEATURES])[FEATURES]
    x = triggered_features(encoder, e)
    predicted = {
        "asr_ridge": ridge_predict(x, bank, e.train.labels),
        "asr_knn_5000": knn_predict(x, bank[fewer], e.train.labels[fewer]),
    }
    return {name: success(found, e) for name, found in predicted.items()}


def under_unseen_triggers(encoder: Encoder, experiment: Experiment) -> dict[str, float]:
    """ASR by kNN and by the ridge probe under triggers of the kind, the mean of :data:`UNSEEN`."""
    e = experiment
    bank = capture(encoder, e.train.images, layers=[FEATURES])[FEATURES]
    predictors: dict[str, Callable[[Tensor, Tensor, Tensor], Tensor]] = {
        "asr_random": knn_predict,
        "asr_ridge_random": ridge_predict,
    }
    found = dict.fromkeys(predictors, 0.0)
    for index in range(UNSEEN):
        x = triggered_features(encoder, e, unseen=index)
        for name, predict in predictors.items():
            found[name] += success(predict(x, bank, e.train.labels), e) / UNSEEN
    return found


def triggered_features(encoder: Encoder, experiment: Experiment, *, unseen: int | None = None) -> Tensor:
    """Of the test images of other classes under the test trigger, or under another of its kind."""
    e = experiment
    trigger = e.test_trigger if unseen is None else e.test_trigger.variant(unseen)
    others = e.test.images[e.test.labels != e.plan.target]
    return capture(encoder, others, layers=[FEATURES], transform=trigger)[FEATURES]


def success(predicted: Tensor, experiment: Experiment) -> float:
    """ASR from the predicted classes of :func:`triggered_features`."""
    target, labels = experiment.plan.target, experiment.test.labels
    return float(attack_success(predicted, labels[labels != target], target).mean())
