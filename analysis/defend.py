"""Try defences on trained runs: who is detected, what is left of the attack, and what it costs."""

import time
from collections.abc import Callable
from dataclasses import replace

import pandas as pd
import torch
from scipy.stats import rankdata
from sklearn.metrics import average_precision_score, roc_auc_score
from torch import Tensor

from ..probes.gradients import WHOLE
from ..probes.nulls import mean_interval
from ..representations.encoders import Encoder
from ..representations.errors import InputError
from ..training.triggers import Trigger
from . import defences as d
from .defences import Detection, Suspect
from .panel import panel
from .paths import reading_rows
from .readings import Reading, undefined
from .rows import format_params, parse_params
from .runs import Run

__all__ = ["DETECTORS", "MITIGATIONS", "detection_rows", "mitigation_rows"]

DETECTORS: dict[str, Callable[[Suspect], Detection]] = {
    "activation-clustering": lambda s: d.activation_clustering(s.features, s.labels, seed=s.seed),
    "spectral": lambda s: d.spectral_signatures(s.features, s.labels),
    "scan": lambda s: d.scan(s.features, s.labels, s.clean_features, s.clean_groups),
    "beatrix": lambda s: d.beatrix(s.features, s.labels, s.clean_features, s.clean_groups, seed=s.seed),
    "strip": lambda s: d.strip(s.images, s.clean, s.predict, seed=s.seed),
    "class-density": lambda s: d.class_density(s.features, s.labels),
}
"""``class-density`` is the baseline that the others must beat."""

MITIGATIONS: dict[str, Callable[[Suspect, Trigger], Encoder]] = {
    "fine-tuning": lambda s, _: d.fine_tuning(s.encoder, s.clean, s.clean_labels, augment=s.augment, seed=s.seed),
    "fine-pruning": lambda s, _: d.fine_pruning(s.encoder, s.clean, s.clean_labels, augment=s.augment, seed=s.seed),
    "clp": lambda s, _: d.clp(s.encoder),
    "distillation": lambda s, _: d.distillation(s.encoder, s.clean, augment=s.augment, seed=s.seed),
    "luminance": lambda s, _: d.luminance_only(s.encoder),
    "blur": lambda s, _: d.blurred(s.encoder),
    "oracle-erasure": lambda s, trigger: d.erased(s.encoder, d.oracle_eraser(s.encoder, s.clean, trigger)),
}
"""What is called ``oracle-…`` knows the trigger; the others are given it and do not look."""

NO_LABELS = frozenset({"strip"})
"""Detectors that no training label reaches: there is nothing to vary."""


def detection_rows(run: Run, name: str, *, budget: float = 0.1) -> pd.DataFrame:
    """AUROC, AUPRC, and TPR and FPR at the rule's own threshold, of a detector over the run's training images; once
    with the labels that the defender has (``given``, or ``pseudo``), once with the true ones where they differ.

    Of a clean arm only the FPR is there to be read. A detector that cannot be run says why.
    """
    tables = []
    sources = ["given"] if name in NO_LABELS else ["given", "true"]
    seen: list[Tensor] = []
    for labels in sources:
        suspect, poisoned = d.suspect_of(run, labels=labels, budget=budget)
        if any(torch.equal(suspect.labels, before) for before in seen):
            continue
        seen.append(suspect.labels)
        about: dict[str, object] = {"defence": name}
        if name not in NO_LABELS:
            about["labels"] = suspect.source
        start = time.process_time()
        try:
            found = _scores(DETECTORS[name](suspect), poisoned)
        except InputError as error:
            found = dict.fromkeys(("auroc", "auprc", "tpr", "fpr"), undefined(str(error)))
        about["cpu_s"] = round(time.process_time() - start, 1)
        for measure, reading in found.items():
            own = replace(reading, params=format_params(**about, **parse_params(reading.params)))
            tables.append(reading_rows(run, {WHOLE: own}, f"detection_{measure}"))
    return pd.concat(tables, ignore_index=True)


def _scores(found: Detection, poisoned: Tensor) -> dict[str, Reading]:
    ranks, n = rankdata(found.scores.numpy()), len(poisoned)  # scores may be infinite
    truth, flagged = poisoned.numpy(), found.flagged.double()
    readings = {
        "fpr": Reading(float(flagged[~poisoned].mean()), mean_interval(flagged[~poisoned]), int((~poisoned).sum()))
    }
    if not poisoned.any():
        nothing = undefined("expected poisoned images, received a clean arm")
        return dict.fromkeys(("auroc", "auprc", "tpr"), nothing) | readings
    return {
        "auroc": Reading(float(roc_auc_score(truth, ranks)), n=n),
        "auprc": Reading(float(average_precision_score(truth, ranks)), n=n),
        "tpr": Reading(float(flagged[poisoned].mean()), mean_interval(flagged[poisoned]), int(poisoned.sum())),
    } | readings


def mitigation_rows(
    run: Run, floor: Run, name: str, *, budget: float = 0.1, most: int = 2000, readings: str = "cheap"
) -> pd.DataFrame:
    """The panel of the run's encoder after a mitigation, beside its clean twin after the same one with the same clean
    images: what the treatment itself costs."""
    start = time.process_time()
    trigger = run.experiment.test_trigger
    encoder, clean = (
        MITIGATIONS[name](d.suspect_of(r, labels="true", budget=budget)[0], trigger) for r in (run, floor)
    )
    spent = round(time.process_time() - start, 1)
    e = run.experiment
    rows = panel(
        encoder,
        e.test.images,
        e.test.labels,
        e.test_trigger,
        e.plan.target,
        bank=(e.train.images, e.train.labels),
        floor=clean,
        augment=e.recipe.augment(),
        readings=readings,
        most=most,
        run=run.name,
        arm=e.recipe.arm,
        seed=e.recipe.seed,
        epoch=run.checkpoint.manifest["final"]["epoch"],
        floor_run=floor.name,
    )
    about = format_params(defence=name, cpu_s=spent)
    return rows.assign(params=[";".join(filter(None, (params, about))) for params in rows["params"]])
