"""Defences on trained runs: a defender sees what it would find, and rows say what came of it."""

import pytest
import torch
from intertwine.analysis import defend
from intertwine.analysis.defences import Detection, suspect_of
from intertwine.analysis.defend import DETECTORS, MITIGATIONS, detection_rows, mitigation_rows
from intertwine.analysis.rows import COLUMNS, parse_params
from intertwine.analysis.runs import load_run
from intertwine.representations.errors import InputError


@pytest.fixture(scope="module")
def pair(small_runs):
    return tuple(load_run(small_runs / arm / "seed0", device="cpu") for arm in ("supervised-dirty", "clean-supervised"))


def test_a_suspect_has_the_poisons_and_does_not_say_which(pair):
    run, floor = pair
    suspect, poisoned = suspect_of(run)
    e = run.experiment
    assert torch.equal(poisoned, e.mask)
    assert torch.equal(suspect.images[~poisoned], e.train.images[~poisoned])
    assert (suspect.images[poisoned] != e.train.images[poisoned]).flatten(1).any(1).all()
    assert (suspect.labels[poisoned] == e.plan.target).all()
    assert suspect.source == "given"
    twin, none = suspect_of(floor)
    assert not none.any()
    assert torch.equal(suspect.clean, twin.clean), "the budget of every arm is the same"
    assert len(suspect.clean) == 30
    dirty = suspect.images[poisoned].flatten(1)
    assert not any((dirty == image).all(1).any() for image in suspect.clean.flatten(1))


def test_labels_by_source(pair):
    run, _ = pair
    assert torch.equal(suspect_of(run, labels="true")[0].labels, run.experiment.train.labels)
    pseudo, _ = suspect_of(run, labels="pseudo")
    assert pseudo.source == "pseudo"
    assert len(pseudo.labels.unique()) == 10
    assert pseudo.clean_groups.shape == pseudo.clean_labels.shape
    with pytest.raises(InputError, match="labels: expected one of given, pseudo, true, received 'mine'"):
        suspect_of(run, labels="mine")
    with pytest.raises(InputError, match="budget: expected 1 to 270 images that no arm poisons, received 297"):
        suspect_of(run, budget=0.99)


def test_scores_against_the_truth(pair, monkeypatch):
    """A detector that knows: AUROC 1, and flags two poisons and one clean image; infinite scores are no error."""
    run, floor = pair
    mask = run.experiment.mask
    flagged = torch.zeros(len(mask), dtype=torch.bool)
    flagged[mask.nonzero().flatten()[:2]] = True
    flagged[(~mask).nonzero().flatten()[:1]] = True
    scores = torch.where(mask, torch.inf, torch.arange(len(mask)).double())
    monkeypatch.setitem(DETECTORS, "spectral", lambda suspect: Detection(scores, flagged))
    rows = detection_rows(run, "spectral")
    assert list(rows.columns) == COLUMNS
    given = rows[rows.params.str.contains("labels=given")].set_index("measure")["value"]
    assert given["detection_auroc"] == given["detection_auprc"] == 1
    assert given["detection_tpr"] == pytest.approx(2 / int(mask.sum()))
    assert given["detection_fpr"] == pytest.approx(1 / int((~mask).sum()))
    clean = detection_rows(floor, "spectral")
    assert set(clean[clean.status == "ok"].measure) == {"detection_fpr"}
    assert clean.params.str.contains("labels=given").all(), "true labels are the given ones: not read twice"


def test_a_detector_that_cannot_be_run_says_why(pair):
    rows = detection_rows(pair[0], "beatrix", budget=0.02)
    assert set(rows.status) == {"undefined"}
    reason = parse_params(rows.params.iloc[0])
    assert reason["defence"] == "beatrix"
    assert reason["reason"].startswith("clean_labels: expected at least 4 images of a class")


def test_every_defence_is_a_row(pair):
    run, floor = pair
    for name in ("activation-clustering", "scan", "class-density"):
        rows = detection_rows(run, name, budget=0.3)
        assert set(rows.status) == {"ok"}, rows.params.iloc[0]
        assert set(rows.measure) == {f"detection_{m}" for m in ("auroc", "auprc", "tpr", "fpr")}
        assert rows["value"].between(0, 1).all()
    for name in ("clp", "luminance", "oracle-erasure"):
        rows = mitigation_rows(run, floor, name, readings="asr")
        assert {"acc", "asr", "r_acc"} <= set(rows.measure)
        assert {"", "floor"} <= set(rows.reference)
        assert {parse_params(p)["defence"] for p in rows.params} == {name}
    assert set(defend.NO_LABELS) <= set(DETECTORS)
    assert not set(DETECTORS) & set(MITIGATIONS)
