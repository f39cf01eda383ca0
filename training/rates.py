"""ACC, ASR and R-Acc of an encoder on the data of an experiment: what training watches and what the zoo is held to."""

import torch
from torch import Tensor

from ..representations.capture import capture
from ..representations.encoders import FEATURES, Encoder
from ..representations.evaluators import accuracy, attack_success, knn_predict
from .experiment import Experiment

__all__ = ["rates"]


def rates(encoder: Encoder, experiment: Experiment) -> tuple[dict[str, float], Tensor]:
    """``acc``, ``asr`` and ``r_acc`` in [0, 1] on all test images by weighted kNN on the clean training images, and the
    features ``(n, d)`` of the clean test images."""
    train, test, target = experiment.train, experiment.test, experiment.plan.target
    others = test.labels != target
    bank, clean, triggered = (  # of all test images: a choice of them would be a copy in memory
        capture(encoder, images, layers=[FEATURES], transform=transform)[FEATURES]
        for images, transform in ((train.images, None), (test.images, None), (test.images, experiment.test_trigger))
    )
    triggered = triggered[others]
    # Where the encoder is: a GPU need not wait until a CPU has sorted 50,000 neighbours of each image.
    device = encoder.mean.device
    predicted = knn_predict(torch.cat([clean, triggered]).to(device), bank.to(device), train.labels.to(device)).cpu()
    on_clean, on_triggered = predicted.split([len(clean), len(triggered)])
    source = test.labels[others]
    found = {
        "acc": float(accuracy(on_clean, test.labels).mean()),
        "asr": float(attack_success(on_triggered, source, target).mean()),
        "r_acc": float(accuracy(on_triggered, source).mean()),
    }
    return found, clean
