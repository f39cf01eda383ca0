"""Rates: ACC, ASR and R-Acc of an encoder on all held-out images, by every evaluator."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass

import torch
from torch import Tensor

from ...probes.nulls import mean_interval
from ...representations.capture import capture
from ...representations.encoders import FEATURES, Encoder
from ...representations.evaluators import EVALUATORS, default_k, success_rates
from ..results.measures import INCLUDING
from ..results.reading import Reading
from ..results.schema import DEFAULT_EVALUATOR
from .evaluation_data import EvaluationData, Transform

__all__ = ["Head", "Predictor", "confusion_readings", "rate_readings"]

Head = Callable[[Tensor], Tensor]


@dataclass(frozen=True)
class Predictor:
    """Predictions of every evaluator on all held-out images.

    Images that are not drawn are encoded a few at a time. bank: the encoder's features of ``data.bank``.
    heads: name → native classifier, features → logits.
    """

    encoder: Encoder
    data: EvaluationData
    bank: Tensor
    heads: Mapping[str, Head]

    def __call__(self, drawn: Tensor, trigger: Transform | None) -> dict[str, Tensor]:
        """Evaluator → predicted classes, int64 ``(n,)``. drawn: features of the drawn images."""
        test, rows = self.data.test, self.data.drawn
        predicted = {}
        for name, classes in self._classes(drawn).items():
            predicted[name] = torch.empty(len(test), dtype=torch.int64)
            predicted[name][rows] = classes
        rest = torch.ones(len(test), dtype=torch.bool)
        rest[rows] = False
        for index in rest.nonzero().flatten().split(len(rows)) if rest.any() else ():
            features = capture(self.encoder, test[index], layers=[FEATURES], transform=trigger)[FEATURES]
            for name, classes in self._classes(features).items():
                predicted[name][index] = classes
        return predicted

    @property
    def decides(self) -> str:
        """The evaluator that decides hits: the data's, or kNN for an encoder without such a head."""
        known = self.data.evaluator in EVALUATORS or self.data.evaluator in self.heads
        return self.data.evaluator if known else DEFAULT_EVALUATOR

    def by_deciding(self, features: Tensor) -> Tensor:
        """Features → classes, int64 ``(n,)``, by the evaluator that decides hits."""
        if self.decides in self.heads:
            return self.heads[self.decides](features).argmax(1)
        return EVALUATORS[self.decides](features, self.bank, self.data.bank_labels)

    def _classes(self, features: Tensor) -> dict[str, Tensor]:
        by_bank = {name: e(features, self.bank, self.data.bank_labels) for name, e in EVALUATORS.items()}
        return by_bank | {name: head(features).argmax(1) for name, head in self.heads.items()}


def rate_readings(
    on_clean: Mapping[str, Tensor],
    on_triggered: Mapping[str, Tensor],
    data: EvaluationData,
    width: int,
    *,
    including: bool,
) -> dict[tuple[str, str, str], Reading]:
    """Rates by (measure, subset, evaluator), from the classes that each evaluator predicts.

    Args:
        width: width of the features. including: add ASR over triggered images of all classes, target images included,
            as CTRL's code reports it.
    """
    labels, target = data.labels, data.target
    readings = {}
    for name in on_clean:
        note = f"k = {default_k(len(data.bank))}" if name == "knn" else ""
        rates = success_rates(on_clean[name], on_triggered[name], labels, target)
        scores = {("acc", "clean"): rates.acc, ("asr", "triggered"): rates.asr, ("r_acc", "triggered"): rates.r_acc}
        if including:
            scores[(INCLUDING, "triggered_all")] = rates.asr_including_target
        for (measure, subset), values in scores.items():
            reading = Reading(float(values.mean()), mean_interval(values), len(values), "ok", note, width)
            readings[(measure, subset, name)] = reading
    return readings


def confusion_readings(predicted: Tensor, data: EvaluationData) -> dict[int, Reading]:
    """Where triggered images of other classes go: class → share of them that leave their own class for it.

    The shares and R-Acc sum to 1. An attack fails in two ways: the trigger is not picked up (R-Acc is that of the
    benign twin), or triggered images land elsewhere (R-Acc falls, and other classes than the target gain).

    Args:
        predicted: classes of all test images with the trigger, int64 ``(n,)``.
    """
    others = data.labels != data.target
    predicted, labels = predicted[others], data.labels[others]
    found = {}
    for c in data.labels.unique().tolist():
        left = ((predicted == c) & (labels != c)).double()
        found[c] = Reading(float(left.mean()), mean_interval(left), len(left))
    return found
