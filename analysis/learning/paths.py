"""Paths: rates of an encoder at a point of an intervention, and the rows of such points."""

from collections.abc import Sequence
from dataclasses import dataclass

import pandas as pd
import torch
from torch import Tensor

from ...representations.capture import capture
from ...representations.encoders import FEATURES, Encoder
from ...representations.evaluators import knn_predict, success_rates
from ...representations.seeds import generator
from ...training.triggers import Trigger
from ..panel import PanelOptions
from ..results.reading import Reading
from ..results.row import build_row, table_of
from ..runs.run import Run

__all__ = ["Rates", "point_rows"]


@dataclass(frozen=True)
class Rates:
    """ACC and ASR of any encoder by weighted kNN, on a run's held-out images.

    test: uint8 ``(n, 3, H, W)``. bank: uint8 ``(m, 3, H, W)``, encoded again for each encoder. Both are the images that
    a panel of this size draws, the same along a whole path.
    """

    test: Tensor
    labels: Tensor
    bank: Tensor
    bank_labels: Tensor
    trigger: Trigger
    target: int

    @classmethod
    def of(cls, run: Run, *, most: int = PanelOptions.images) -> "Rates":
        """The rates of a run, on at most ``most`` held-out images and ``most`` images of the bank."""
        e, chosen = run.experiment, []
        for purpose, images in (("held-out", e.test), ("bank-images", e.train)):
            order = torch.randperm(len(images), generator=generator(e.recipe.seed, purpose))
            chosen.append(images.subset(order[:most].sort().values))
        test, bank = chosen
        return cls(test.images, test.labels, bank.images, bank.labels, e.test_trigger, e.plan.target)

    def __call__(self, encoder: Encoder) -> tuple[float, float]:
        on_clean, on_triggered = self.classes(encoder)
        sources = self.labels[self.labels != self.target]
        rates = success_rates(on_clean, on_triggered, self.labels, self.target, triggered_labels=sources).means()
        return rates["acc"], rates["asr"]

    def classes(self, encoder: Encoder) -> tuple[Tensor, Tensor]:
        """Classes of all clean images, int64 ``(n,)``, and of the triggered images of other classes ``(m,)``."""
        others = self.labels != self.target
        bank, clean, triggered = (
            capture(encoder, images, layers=[FEATURES], transform=transform)[FEATURES]
            for images, transform in ((self.bank, None), (self.test, None), (self.test[others], self.trigger))
        )
        return knn_predict(clean, bank, self.bank_labels), knn_predict(triggered, bank, self.bank_labels)


def point_rows(
    run: Run, path: str, x: Sequence[float], rates: Sequence[tuple[float, float]], *, reference: str = ""
) -> pd.DataFrame:
    """ACC and ASR by weighted kNN at the points ``x`` of a path, as rows of the kind ``path``."""
    label = run.label
    return table_of(
        build_row(
            label,
            Reading(value),
            **{"kind": "path", "path": path, "x": float(at), "layer": FEATURES, "reference": reference},
            **{"measure": measure, "subset": subset, "evaluator": "knn", "decides": True},
        )
        for at, pair in zip(x, rates, strict=True)
        for measure, subset, value in zip(("acc", "asr"), ("clean", "triggered"), pair, strict=True)
    )
