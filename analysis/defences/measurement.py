"""Try defences on trained runs: who is detected, what is left of the attack, and what it costs."""

import time
from dataclasses import dataclass, replace

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
from .. import defences as d
from ..learning.paths import reading_rows
from ..panel.encoder_panel import panel
from ..panel.readings import Reading, undefined
from ..results.table import format_params, parse_params
from ..runs.run import Run
from . import Detection
from .catalogue import DETECTORS, INSPECTIONS, LABELS, MITIGATIONS

__all__ = ["ROC_AT", "detection_rows", "inspection_rows", "mitigation_rows", "poisoned_share"]

ROC_AT = (0.0, 0.002, 0.005, 0.01, 0.02, 0.03, 0.05, 0.07, 0.1, 0.15, 0.2, 0.3, 0.4, 0.5, 0.6, 0.7, 0.8, 0.9, 1.0)
"""False-positive rates at which a curve is read, so that curves of several runs can be averaged."""
ORDERS = 200
"""Random orders that stand beside AUPRC."""


def poisoned_share(run: Run) -> float:
    """Of the target's class (by the labels that the arm learned from, or the true ones where it has none), the share
    that is poisoned. Detectors that look group by group see another one where they look at clusters."""
    e = run.experiment
    return float(e.mask[e.labels == e.plan.target].double().mean())


@dataclass(frozen=True)
class _Clock:
    wall: float
    cpu: float

    @classmethod
    def start(cls) -> "_Clock":
        return cls(time.perf_counter(), time.process_time())

    def spent(self) -> dict[str, float]:
        """Seconds since, to a tenth."""
        return {
            "wall_s": round(time.perf_counter() - self.wall, 1),
            "cpu_s": round(time.process_time() - self.cpu, 1),
        }


def detection_rows(run: Run, name: str, *, budget: float = 0.1) -> pd.DataFrame:
    """AUROC, AUPRC, and TPR and FPR at the rule's own threshold, of a detector over the run's training images but those
    known to be clean; once with the labels that the defender has (``given``, or ``pseudo``), once with the true ones
    where they differ. Beside AUROC and AUPRC, as ``random``, what a random order gives. ``roc``: TPR (value) at the FPR
    ``x``. ``in_group`` in the params: the share of poison in the group of labels that holds most of it.

    Where no training image is poisoned only the FPR is there to be read. A detector that cannot be run says why.
    """
    tables: list[pd.DataFrame] = []
    seen: list[Tensor] = []
    for labels in ["given", "true"] if LABELS in DETECTORS[name].needs else ["given"]:
        clock = _Clock.start()
        suspect, poisoned = d.suspect_of(run, labels=labels, budget=budget)
        if any(torch.equal(suspect.labels, before) for before in seen):
            continue
        seen.append(suspect.labels)
        about = _about(run, name, budget)
        if LABELS in DETECTORS[name].needs:
            about["labels"] = suspect.source
            if poisoned.any():
                group = suspect.labels == suspect.labels[poisoned].mode().values
                about["in_group"] = round(float(poisoned[group].double().mean()), 3)
        judged = torch.ones_like(poisoned)
        judged[suspect.known] = False
        truth, curve = poisoned[judged], {}
        try:
            detection = DETECTORS[name](suspect, run.experiment.test_trigger)
            detection = Detection(detection.scores[judged], detection.flagged[judged])
            found, curve = _scores(detection, truth), _curve(detection, truth)
        except InputError as error:
            found = dict.fromkeys(("auroc", "auprc", "tpr", "fpr"), undefined(str(error)))
        about |= clock.spent()
        for measure, reading in found.items():
            tables.append(_rows(run, f"detection_{measure}", reading, about))
        for measure, reading in _chance(truth, run.experiment.recipe.seed).items():
            tables.append(_rows(run, f"detection_{measure}", reading, about, reference="random"))
        for x, tpr in curve.items():
            tables.append(_rows(run, "roc", Reading(tpr), about, x=x))
    return pd.concat(tables, ignore_index=True)


def _about(run: Run, name: str, budget: float) -> dict[str, object]:
    e = run.experiment
    share = round(poisoned_share(run), 3)
    return {"defence": name, "recipe": e.recipe.name, "plan": e.plan.hash[:8], "share": share, "budget": budget}


def _rows(
    run: Run, measure: str, reading: Reading, about: dict[str, object], *, reference: str = "", x: float | None = None
) -> pd.DataFrame:
    own = replace(reading, params=format_params(**about, **parse_params(reading.params)))
    rows = reading_rows(run, {WHOLE: own}, measure, reference=reference)
    return rows if x is None else rows.assign(x=x)


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
    """AUROC and AUPRC of random orders, with the range of 95 % of them."""
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
    """What an inspection says of the encoder: ``inspection_flagged``, 1 if it takes it for backdoored;
    ``inspection_score``, how many times over its threshold it is, above 1 where it is flagged; and
    ``inspection_target``, 1 if the attack's target is among the classes that it names, where it names classes and there
    is an attack."""
    about, clock = _about(run, name, budget), _Clock.start()
    suspect, _ = d.suspect_of(run, budget=budget)
    target = undefined("expected a poisoned arm, a rule that names classes, and clean images of the target's")
    try:
        found = INSPECTIONS[name](suspect, run.experiment.test_trigger)
        classes = found.flagged if isinstance(found, d.ClassTriggers) else None
        readings = {
            "flagged": Reading(float(found.flagged if classes is None else classes.any())),
            "score": Reading(found.score),
        }
        known = suspect.clean_labels.unique().tolist()
        if classes is not None and run.experiment.arm.is_poisoned and run.experiment.plan.target in known:
            target = Reading(float(classes[known.index(run.experiment.plan.target)]))
    except InputError as error:
        readings = dict.fromkeys(("flagged", "score"), undefined(str(error)))
    about |= clock.spent()
    readings["target"] = target
    return pd.concat(
        [_rows(run, f"inspection_{what}", reading, about) for what, reading in readings.items()], ignore_index=True
    )


def mitigation_rows(
    run: Run,
    benign: Run,
    name: str,
    *,
    budget: float = 0.1,
    most: int = 2000,
    most_bank: int = 5000,
    readings: str = "cheap",
) -> pd.DataFrame:
    """The panel of the run's encoder after a mitigation, beside its clean twin after the same one with the same clean
    images: what the treatment itself costs. One that cannot be run says why: its ACC and ASR are undefined."""
    e, clock = run.experiment, _Clock.start()

    try:
        encoder, clean = (MITIGATIONS[name](d.suspect_of(r, budget=budget)[0], e.test_trigger) for r in (run, benign))
    except InputError as error:
        about, why = _about(run, name, budget) | clock.spent(), str(error)
        tables = [
            _rows(run, measure, _refused(why, evaluator), about).assign(layer=FEATURES, subset=subset)
            for evaluator in EVALUATORS
            for measure, subset in (("acc", "clean"), ("asr", "triggered"), ("r_acc", "triggered"))
        ]
        return pd.concat(tables, ignore_index=True)
    about = _about(run, name, budget) | clock.spent()
    rows = panel(
        encoder,
        e.test.images,
        e.test.labels,
        e.test_trigger,
        e.plan.target,
        bank=(e.train.images, e.train.labels),
        benign=clean,
        augment=e.recipe.augment(),
        readings=readings,
        most=most,
        most_bank=most_bank,
        run=run.name,
        arm=e.recipe.arm,
        seed=e.recipe.seed,
        epoch=run.checkpoint.manifest["final"]["epoch"],
        benign_run=benign.name,
    )
    return rows.assign(params=[";".join(filter(None, (params, format_params(**about)))) for params in rows["params"]])


def _refused(why: str, evaluator: str) -> Reading:
    return replace(undefined(why), params=format_params(evaluator=evaluator, reason=why))
