"""Measure defences on runs: what they detect, what remains of the attack, and what they cost."""

import time
from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np
import pandas as pd
import torch
from scipy.stats import norm, rankdata
from sklearn.metrics import average_precision_score, roc_auc_score, roc_curve
from torch import Tensor

from ...probes.gradients import WHOLE
from ...probes.nulls import mean_interval
from ...representations.encoders import FEATURES
from ...representations.errors import InputError
from ...representations.evaluators import EVALUATORS
from ...representations.seeds import generator
from ..panel import PanelOptions, panel
from ..results.reading import Reading, undefined
from ..results.row import build_row, table_of
from ..runs.run import Run
from .catalogue import DETECTORS, INSPECTIONS, LABELS, MITIGATIONS
from .common.defender import defender_of
from .common.detection import Detection
from .methods.neural_cleanse import ClassTriggers

__all__ = ["ROC_AT", "detection_rows", "inspection_rows", "mitigation_rows", "poisoned_share"]

ROC_AT = (0.0, 0.002, 0.005, 0.01, 0.02, 0.03, 0.05, 0.07, 0.1, 0.15, 0.2, 0.3, 0.4, 0.5, 0.6, 0.7, 0.8, 0.9, 1.0)
"""False-positive rates at which a ROC curve is stored, so that curves of several runs can be averaged."""
ORDERS = 200
"""Number of random orders for the reference of AUPRC."""


def poisoned_share(run: Run) -> float:
    """Share of the target class that is poisoned, by the labels that the arm learned from (else by the true ones)."""
    e = run.experiment
    return float(e.mask[e.labels == e.plan.target].double().mean())


@dataclass(frozen=True)
class _Cell:
    """One defence on one run: the columns that its rows share, and the clocks at its start."""

    run: Run
    defence: str
    budget: float
    share: float
    labels: str = ""
    wall: float = field(default_factory=time.perf_counter)
    cpu: float = field(default_factory=time.process_time)

    @classmethod
    def of(cls, run: Run, defence: str, budget: float) -> "_Cell":
        return cls(run, defence, budget, round(poisoned_share(run), 3))

    @property
    def columns(self) -> dict[str, Any]:
        about = {"defence": self.defence, "labels": self.labels, "share": self.share, "budget": self.budget}
        return {"kind": "defence", "layer": WHOLE, **about}

    def row(self, reading: Reading, **columns: object) -> dict[str, object]:
        return build_row(self.run.label, reading, **(self.columns | columns))

    def costs(self) -> list[dict[str, object]]:
        """Rows of wall-clock and CPU seconds since the start, rounded to a tenth."""
        spent = {"wall_seconds": time.perf_counter() - self.wall, "cpu_seconds": time.process_time() - self.cpu}
        return [self.row(Reading(round(seconds, 1)), measure=measure) for measure, seconds in spent.items()]


def detection_rows(run: Run, name: str, *, budget: float = 0.1) -> pd.DataFrame:
    """Rows of a detector on the training images of a run, without those known to be clean.

    ``detection_auroc``, ``detection_auprc``: of its scores; reference ``random``: of random orders.
    ``detection_tpr``, ``detection_fpr``: at the rule's own threshold. Kind ``roc``: TPR (value) at the FPR ``x``.
    ``group_poison_share``: share of poisons in the group of labels that has most of them.

    A detector that uses labels is run with the defender's labels, and with the true ones where they differ. Without
    poisons only the FPR is defined. The rows of a detector that cannot run are undefined, with the reason.
    """
    rows: list[dict[str, object]] = []
    seen: list[Tensor] = []
    uses_labels = LABELS in DETECTORS[name].needs
    for labels in ["given", "true"] if uses_labels else ["given"]:
        cell = _Cell.of(run, name, budget)
        defender, poisoned = defender_of(run, labels=labels, budget=budget)
        if any(torch.equal(defender.labels, before) for before in seen):
            continue
        seen.append(defender.labels)
        if uses_labels:
            cell = replace(cell, labels=defender.source)
            if poisoned.any():
                group = defender.labels == defender.labels[poisoned].mode().values
                in_group = round(float(poisoned[group].double().mean()), 3)
                rows.append(cell.row(Reading(in_group), measure="group_poison_share"))
        examined = torch.ones_like(poisoned)
        examined[defender.known] = False
        truth, curve = poisoned[examined], {}
        try:
            detection = DETECTORS[name](defender, run.experiment.test_trigger)
            detection = Detection(detection.scores[examined], detection.flagged[examined])
            found, curve = _scores(detection, truth), _curve(detection, truth)
        except InputError as error:
            found = dict.fromkeys(("auroc", "auprc", "tpr", "fpr"), undefined(str(error)))
        rows += cell.costs()
        rows += [cell.row(reading, measure=f"detection_{measure}") for measure, reading in found.items()]
        for measure, reading in _chance(truth, run.experiment.recipe.seed).items():
            rows.append(cell.row(reading, measure=f"detection_{measure}", reference="random"))
        rows += [cell.row(Reading(tpr), kind="roc", measure="roc", x=x) for x, tpr in curve.items()]
    return table_of(rows)


def _scores(found: Detection, poisoned: Tensor) -> dict[str, Reading]:
    ranks, n = rankdata(found.scores.numpy()), len(poisoned)  # scores may be infinite
    truth, flagged = poisoned.numpy(), found.flagged.double()
    readings = {
        "fpr": Reading(float(flagged[~poisoned].mean()), mean_interval(flagged[~poisoned]), int((~poisoned).sum()))
    }
    if not poisoned.any():
        nothing = undefined("expected poisoned training images, received none")
        return dict.fromkeys(("auroc", "auprc", "tpr"), nothing) | readings
    return {
        "auroc": Reading(float(roc_auc_score(truth, ranks)), n=n),
        "auprc": Reading(float(average_precision_score(truth, ranks)), n=n),
        "tpr": Reading(float(flagged[poisoned].mean()), mean_interval(flagged[poisoned]), int(poisoned.sum())),
    } | readings


def _curve(found: Detection, poisoned: Tensor) -> dict[float, float]:
    if not poisoned.any():
        return {}
    fpr, tpr, _ = roc_curve(poisoned.numpy(), rankdata(found.scores.numpy()))
    return {x: float(np.interp(x, fpr, tpr)) if x else float(tpr[fpr == 0].max()) for x in ROC_AT}


def _chance(poisoned: Tensor, seed: int) -> dict[str, Reading]:
    """AUROC and AUPRC of random orders, with the range of the middle 95 %."""
    positive, n = int(poisoned.sum()), len(poisoned)
    if not positive:
        return {}
    # The variance of Mann and Whitney's U.
    half = float(norm.ppf(0.975)) * ((n + 1) / (12 * positive * (n - positive))) ** 0.5
    stream, truth = generator(seed, "random-order"), poisoned.numpy()
    drawn = torch.tensor(
        [average_precision_score(truth, torch.rand(n, generator=stream).numpy()) for _ in range(ORDERS)]
    )
    low, high = drawn.quantile(torch.tensor([0.025, 0.975], dtype=drawn.dtype)).tolist()
    return {
        "auroc": Reading(0.5, (0.5 - half, 0.5 + half), n),
        "auprc": Reading(float(drawn.mean()), (low, high), n),
    }


def inspection_rows(run: Run, name: str, *, budget: float = 0.1) -> pd.DataFrame:
    """Rows of an inspection of the encoder.

    ``inspection_flagged``: 1 if the encoder is reported as backdoored. ``inspection_score``: the statistic over its
    threshold, above 1 where flagged. ``inspection_target``: 1 if the target class is among the classes named, where the
    inspection names classes and there is an attack.
    """
    cell = _Cell.of(run, name, budget)
    defender, _ = defender_of(run, budget=budget)
    target = undefined("expected a poisoned arm, a rule that names classes, and clean images of the target's")
    try:
        found = INSPECTIONS[name](defender, run.experiment.test_trigger)
        classes = found.flagged if isinstance(found, ClassTriggers) else None
        readings = {
            "flagged": Reading(float(found.flagged if classes is None else classes.any())),
            "score": Reading(found.score),
        }
        known = defender.clean_labels.unique().tolist()
        if classes is not None and run.experiment.arm.is_poisoned and run.experiment.plan.target in known:
            target = Reading(float(classes[known.index(run.experiment.plan.target)]))
    except InputError as error:
        readings = dict.fromkeys(("flagged", "score"), undefined(str(error)))
    readings["target"] = target
    rows = cell.costs()
    rows += [cell.row(reading, measure=f"inspection_{what}") for what, reading in readings.items()]
    return table_of(rows)


def mitigation_rows(
    run: Run, benign: Run, name: str, *, budget: float = 0.1, options: PanelOptions | None = None
) -> pd.DataFrame:
    """Rows of the cheap panel after a mitigation, beside the benign twin after the same mitigation.

    The benign twin shows what the treatment itself costs. If a mitigation cannot run, its rates are undefined, with the
    reason.
    """
    e, cell = run.experiment, _Cell.of(run, name, budget)
    options = options or PanelOptions(readings="cheap")
    try:
        encoder, clean = (MITIGATIONS[name](defender_of(r, budget=budget)[0], e.test_trigger) for r in (run, benign))
    except InputError as error:
        rates = [("acc", "clean"), ("asr", "triggered"), ("r_acc", "triggered")]
        refused = [
            cell.row(
                undefined(str(error)),
                layer=FEATURES,
                measure=measure,
                subset=subset,
                evaluator=evaluator,
                decides=evaluator == options.evaluator,
            )
            for evaluator in EVALUATORS
            for measure, subset in rates
        ]
        return table_of([*cell.costs(), *refused])
    costs = table_of(cell.costs())
    rows = panel(
        encoder,
        e.test.images,
        e.test.labels,
        e.test_trigger,
        e.plan.target,
        bank=(e.train.images, e.train.labels),
        benign=clean,
        augment=e.recipe.augment(),
        options=replace(options, seed=e.recipe.seed),
        label=run.label,
        benign_run=benign.name,
    )
    rows = rows[rows["kind"] != "confusion"]
    about = {column: value for column, value in cell.columns.items() if column != "layer"}
    return pd.concat([costs, rows.assign(**about)], ignore_index=True)
