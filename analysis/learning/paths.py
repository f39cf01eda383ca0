"""What interventions on an encoder share: its rates at a point of a path, and rows for points and for readings."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import pandas as pd
import torch
from torch import Tensor

from ...representations.capture import capture
from ...representations.encoders import FEATURES, Encoder
from ...representations.evaluators import accuracy, attack_success, knn_predict
from ...representations.seeds import generator
from ...training.triggers import Trigger
from ..panel.readings import Reading
from ..results.table import COLUMNS, format_params, parse_params
from ..runs.run import Run

__all__ = ["Rates", "path_points", "point_rows", "reading_row", "reading_rows"]


@dataclass(frozen=True)
class Rates:
    """ACC and ASR by weighted kNN of any encoder on a run's held-out images, the bank encoded anew each time.

    ``test`` uint8 ``(n, 3, H, W)``, ``bank`` ``(m, 3, H, W)``: the images that a panel of that size draws by the run's
    seed, the same along a whole path.
    """

    test: Tensor
    labels: Tensor
    bank: Tensor
    bank_labels: Tensor
    trigger: Trigger
    target: int

    @classmethod
    def of(cls, run: Run, *, most: int = 2000) -> "Rates":
        """At most ``most`` held-out images and as many of the bank."""
        e, chosen = run.experiment, []
        for purpose, images in (("held-out", e.test), ("bank-images", e.train)):
            order = torch.randperm(len(images), generator=generator(e.recipe.seed, purpose))
            chosen.append(images.subset(order[:most].sort().values))
        test, bank = chosen
        return cls(test.images, test.labels, bank.images, bank.labels, e.test_trigger, e.plan.target)

    def __call__(self, encoder: Encoder) -> tuple[float, float]:
        others = self.labels != self.target
        bank, clean, triggered = (
            capture(encoder, images, layers=[FEATURES], transform=transform)[FEATURES]
            for images, transform in ((self.bank, None), (self.test, None), (self.test[others], self.trigger))
        )
        on_clean, on_triggered = (knn_predict(x, bank, self.bank_labels) for x in (clean, triggered))
        asr = attack_success(on_triggered, self.labels[others], self.target)
        return float(accuracy(on_clean, self.labels).mean()), float(asr.mean())


def point_rows(
    run: Run, x: Sequence[float], rates: Sequence[tuple[float, float]], *, reference: str = "", **params: object
) -> pd.DataFrame:
    """ACC and ASR at the points of a path. Rows with an ``x`` are no readings of the run: tables of its end leave them
    out (:func:`.rows.final_rows`). ``params``: which path."""
    rows = []
    for at, pair in zip(x, rates, strict=True):
        for measure, subset, value in zip(("acc", "asr"), ("clean", "triggered"), pair, strict=True):
            reading = Reading(value, params=format_params(evaluator="knn", **params))
            row = reading_row(_about(run), FEATURES, measure, reference, reading)
            rows.append(row | {"subset": subset, "x": float(at)})
    return pd.DataFrame(rows, columns=COLUMNS)


def path_points(rows: pd.DataFrame, path: str) -> pd.DataFrame:
    """The points of one path among rows, with ``way``, where the path has several, as another column."""
    points = rows[rows["x"].notna()]
    params = points["params"].map(parse_params)
    points = points.assign(path=params.map(lambda p: p.get("path")), way=params.map(lambda p: p.get("way", "")))
    return points[points["path"] == path]


def reading_rows(
    run: Run, found: Mapping[str, Reading], measure: str, *, epoch: int | None = None, reference: str = ""
) -> pd.DataFrame:
    """Readings of a whole run as rows: layer → reading. ``epoch``: the last by default."""
    about = _about(run) | ({} if epoch is None else {"epoch": epoch})
    rows = [reading_row(about, layer, measure, reference, reading) for layer, reading in found.items()]
    return pd.DataFrame(rows, columns=COLUMNS)


def reading_row(about: Mapping[str, object], layer: str, measure: str, reference: str, r: Reading) -> dict[str, object]:
    """One row; ``about``: its run, arm, seed and epoch."""
    return {
        **about,
        **{"layer": layer, "subset": "", "measure": measure, "reference": reference, "value": r.value},
        **{"ci_low": r.interval[0], "ci_high": r.interval[1], "n": r.n, "d": r.d or None, "run_b": "", "layer_b": ""},
        **{"x": None, "params": r.params, "status": r.status},
    }


def _about(run: Run) -> dict[str, object]:
    recipe = run.experiment.recipe
    last = run.checkpoint.manifest["final"]["epoch"]
    return {"run": run.name, "arm": recipe.arm, "seed": recipe.seed, "epoch": last}
