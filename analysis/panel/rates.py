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
from .evaluation_data import EvaluationData, Transform

__all__ = ["Head", "Predictor", "rate_readings"]

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
