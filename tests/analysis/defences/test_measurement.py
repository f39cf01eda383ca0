"""Defences on trained runs: rows say what came of them, beside chance and beside the benign twin."""

import pytest
import torch
from intertwine.analysis.defences import Detection, decree, defender_of, measurement
from intertwine.analysis.defences.catalogue import BASELINE, DETECTORS, LABELS, Defence
from intertwine.analysis.defences.measurement import (
    ROC_AT,
    detection_rows,
    inspection_rows,
    mitigation_rows,
    poisoned_share,
)
from intertwine.analysis.panel import PanelOptions

from tests.analysis.schema_checks import must_fit_schema
from tests.factories import one


@pytest.fixture(autouse=True)
def brief(monkeypatch):
    """Of what costs most and is not looked at: fewer steps of a search, fewer random orders."""
    monkeypatch.setitem(decree.__kwdefaults__, "steps", 20)
    monkeypatch.setattr(measurement, "ORDERS", 60)


def test_scores_against_the_truth(small_pair, monkeypatch, tmp_path):
    """A detector that knows: AUROC 1, and flags two poisons and one clean image; infinite scores are no error."""
    run, benign = small_pair
    mask = run.experiment.mask
    flagged = torch.zeros(len(mask), dtype=torch.bool)
    flagged[mask.nonzero().flatten()[:2]] = True
    flagged[(~mask).nonzero().flatten()[:1]] = True
    scores = torch.where(mask, torch.inf, torch.arange(len(mask)).double())
    known = Defence(DETECTORS["spectral"].needs, lambda defender, trigger: Detection(scores, flagged))
    monkeypatch.setitem(DETECTORS, "spectral", known)
    rows = detection_rows(run, "spectral")
    must_fit_schema(rows, tmp_path)
    own = rows[(rows.labels == "given") & (rows.reference == "")]
    given = own[own.kind == "defence"].set_index("measure")["value"]
    clean = len(mask) - 30 - int(mask.sum())  # but for those that are known to be
    assert given["detection_auroc"] == given["detection_auprc"] == 1
    assert given["detection_tpr"] == pytest.approx(2 / int(mask.sum()))
    known = defender_of(run)[0].known
    wrong = int((flagged & ~mask).sum() - (flagged & ~mask)[known].sum())
    assert given["detection_fpr"] == pytest.approx(wrong / clean)
    curve = own[own.kind == "roc"]
    assert curve.x.tolist() == list(ROC_AT)
    assert set(curve["value"]) == {1.0}, "every poison is above every clean image"
    clean = detection_rows(benign, "spectral")
    must_fit_schema(clean, tmp_path)
    assert set(clean[(clean.status == "ok")].measure) == {"detection_fpr", "wall_seconds", "cpu_seconds"}
    assert (clean.labels == "given").all(), "true labels are the given ones: not read twice"


def test_a_random_order_stands_beside(small_pair, monkeypatch):
    """What random scores really give lies about the reference, and inside its range nearly always."""
    run, _ = small_pair
    mask, g = run.experiment.mask, torch.Generator().manual_seed(0)
    none = torch.zeros(len(mask), dtype=torch.bool)
    chance = Defence((), lambda defender, trigger: Detection(torch.rand(len(mask), generator=g).double(), none))
    monkeypatch.setitem(DETECTORS, "strip", chance)
    inside = {"detection_auroc": 0, "detection_auprc": 0}
    for _ in range(30):
        rows = detection_rows(run, "strip")
        for measure in inside:
            by_chance = one(rows, measure, "random")
            inside[measure] += by_chance.ci_low <= one(rows, measure).value <= by_chance.ci_high
    assert all(count >= 25 for count in inside.values()), inside
    assert one(rows, "detection_auroc", "random").value == 0.5
    share = int(mask.sum()) / (len(mask) - 30)
    assert one(rows, "detection_auprc", "random").value == pytest.approx(share, abs=0.06)


def test_a_detector_that_cannot_be_run_says_why(small_pair, tmp_path):
    rows = detection_rows(small_pair[0], "scan", budget=0.03)
    must_fit_schema(rows, tmp_path)
    told = rows[rows.measure.str.startswith("detection_") & (rows.reference == "")]
    assert set(told.status) == {"undefined"}
    assert told.note.str.startswith("clean_labels: expected at least 2 images of a class").all()
    assert (set(rows.defence), set(rows.budget)) == ({"scan"}, {0.03})


def test_what_cannot_be_run_on_an_encoder_says_why(small_pair, tmp_path):
    rows = mitigation_rows(*small_pair, "i-bau", budget=0.0)
    must_fit_schema(rows, tmp_path)
    rates = rows[rows.evaluator != ""]
    assert set(rates.status) == {"undefined"}
    assert rates.note.str.contains("expected clean images with their classes, received 0 classes").all()
    assert set(rates.evaluator) == {"knn", "ridge"}
    rows = inspection_rows(small_pair[0], "decree", budget=0.0)
    must_fit_schema(rows, tmp_path)
    assert set(rows[rows.measure.str.startswith("inspection_")].status) == {"undefined"}


@pytest.mark.parametrize("name", DETECTORS)
def test_detectors_on_an_arm_without_labels(unlabelled, name, tmp_path):
    rows = detection_rows(unlabelled, name, budget=0.3)
    must_fit_schema(rows, tmp_path)
    assert set(rows.labels) == ({"pseudo", "true"} if LABELS in DETECTORS[name].needs else {""})
    own = rows[(rows.reference == "") & rows.measure.str.startswith("detection_")]
    assert set(own.status) <= {"ok", "undefined"}
    if name in ("abl", "strip", "beatrix", BASELINE):
        assert set(own.status) == {"ok"}
        assert own["value"].between(0, 1).all()
    if LABELS in DETECTORS[name].needs:
        told = one(rows, "group_poison_share", labels="true")
        assert told["value"] == pytest.approx(0.5, abs=0.02)


def test_every_defence_is_a_row(small_pair, tmp_path):
    run, benign = small_pair
    for name in ("activation-clustering", "scan", "abl", BASELINE):
        rows = detection_rows(run, name, budget=0.3)
        assert set(rows.status) == {"ok"}, rows.note.iloc[0]
        scores = rows[rows.measure.str.startswith("detection_") | (rows.kind == "roc")]
        assert set(scores.measure) == {"roc", *(f"detection_{m}" for m in ("auroc", "auprc", "tpr", "fpr"))}
        assert scores["value"].between(0, 1).all()
        curve = rows[(rows.kind == "roc") & rows.labels.isin(["given", ""])]
        assert curve.sort_values("x")["value"].is_monotonic_increasing
    for name in ("clp", "luminance", "oracle-erasure"):
        rows = mitigation_rows(run, benign, name, options=PanelOptions("asr"))
        must_fit_schema(rows, tmp_path)
        assert {"acc", "asr", "r_acc"} <= set(rows.measure)
        assert {"", "benign"} <= set(rows.reference)
        assert (set(rows.defence), set(rows.recipe), set(rows.kind)) == ({name}, {"small"}, {"defence"})


def test_what_it_costs_is_told_once_a_cell(small_pair, tmp_path):
    rows = mitigation_rows(*small_pair, "none", options=PanelOptions("cheap", images=100, bank=100))
    must_fit_schema(rows, tmp_path)
    for measure in ("wall_seconds", "cpu_seconds"):
        assert one(rows, measure).value >= 0
    assert set(rows[rows.other_layer != ""].measure) == {"cka"}, "pairs are of the defence too"


def test_an_inspection_is_of_the_encoder(small_pair, tmp_path):
    for run in small_pair:
        rows = inspection_rows(run, "decree", budget=0.2)
        must_fit_schema(rows, tmp_path)
        flagged = one(rows, "inspection_flagged").value
        assert flagged in (0.0, 1.0)
        assert (one(rows, "inspection_score").value > 1) >= bool(flagged)
        assert one(rows, "inspection_target").status == "undefined", "it names no class"


def test_the_share_is_of_what_the_arm_takes_for_the_target(small_pair):
    run, benign = small_pair
    e = run.experiment
    own = int((e.train.labels == e.plan.target).sum())
    assert poisoned_share(run) == pytest.approx(e.plan.count / (own + e.plan.count)), "dirty: poisons join the class"
    assert poisoned_share(benign) == 0
