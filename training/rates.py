"""ACC, ASR and R-Acc of an encoder on the data of an experiment: for the history of a run and the table of the zoo."""

import torch
from torch import Tensor

from ..representations.capture import capture
from ..representations.encoders import FEATURES, Encoder
from ..representations.evaluators import knn_predict, success_rates
from .experiment import Experiment

__all__ = ["rates"]


def rates(encoder: Encoder, experiment: Experiment) -> tuple[dict[str, float], Tensor]:
    """Compute ``acc``, ``asr`` and ``r_acc`` in [0, 1] on all test images.

    The evaluator is weighted kNN with all clean training images as its bank. The second result holds the features
    ``(n, d)`` of the clean test images.
    """
    train, test, target = experiment.train, experiment.test, experiment.plan.target
    others = test.labels != target
    bank, clean, triggered = (  # of all test images: a selection of them would be a copy in memory
        capture(encoder, images, layers=[FEATURES], transform=transform)[FEATURES]
        for images, transform in ((train.images, None), (test.images, None), (test.images, experiment.test_trigger))
    )
    triggered = triggered[others]
    # On the encoder's device: a CPU takes long to sort 50,000 neighbours of each image.
    device = encoder.mean.device
    predicted = knn_predict(torch.cat([clean, triggered]).to(device), bank.to(device), train.labels.to(device)).cpu()
    on_clean, on_triggered = predicted.split([len(clean), len(triggered)])
    found = success_rates(on_clean, on_triggered, test.labels, target, triggered_labels=test.labels[others])
    return found.means(), clean
