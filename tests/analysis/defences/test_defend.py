"""Defences on trained runs: a defender sees what it would find, and rows say what came of it."""

import pytest
import torch
from intertwine.analysis.defences import Detection, defender_of
from intertwine.analysis.defences.catalogue import (
    BASELINE,
    DETECTORS,
    INSPECTIONS,
    LABELS,
    MITIGATIONS,
    TRIGGER,
    Defence,
)
from intertwine.analysis.defences.measurement import detection_rows, inspection_rows, mitigation_rows, poisoned_share
from intertwine.analysis.results.schema import COLUMNS
from intertwine.analysis.results.table import parse_params
from intertwine.analysis.runs.run import load_run
from intertwine.representations.errors import InputError

from .conftest import Secret, of_arm


@pytest.fixture(scope="module")
def pair(small_runs):
    return tuple(
        load_run(small_runs / arm / "seed0", device="cpu") for arm in ("supervised-dirty", "supervised-benign")
    )


def test_a_suspect_has_the_poisons_and_does_not_say_which(pair):
    run, benign = pair
    defender, poisoned = defender_of(run)
    e = run.experiment
    assert torch.equal(poisoned, e.mask)
    assert torch.equal(defender.images[~poisoned], e.train.images[~poisoned])
    assert (defender.images[poisoned] != e.train.images[poisoned]).flatten(1).any(1).all()
    assert (defender.labels[poisoned] == e.plan.target).all()
    assert defender.source == "given"
    twin, none = defender_of(benign)
    assert not none.any()
    assert torch.equal(defender.clean, twin.clean), "the budget of every arm is the same"
    assert defender.clean_labels.bincount().tolist() == [3] * 10, "of each class as much"
    dirty = defender.images[poisoned].flatten(1)
    assert not any((dirty == image).all(1).any() for image in defender.clean.flatten(1))


def test_labels_by_source(pair):
    run, _ = pair
    assert torch.equal(defender_of(run, labels="true")[0].labels, run.experiment.train.labels)
    pseudo, _ = defender_of(run, labels="pseudo")
    assert pseudo.source == "pseudo"
    assert len(pseudo.labels.unique()) == 10
    assert pseudo.clean_groups.shape == pseudo.clean_labels.shape
    with pytest.raises(InputError, match="labels: expected one of given, pseudo, true, received 'mine'"):
        defender_of(run, labels="mine")
    assert torch.equal(pseudo.clean_groups, pseudo.labels[pseudo.known])
    with pytest.raises(
        InputError, match=r"budget: expected at most the 15 images of class 0 that no arm poisons, received 29"
    ):
        defender_of(run, budget=0.97)
    assert len(defender_of(run, labels="pseudo", budget=0.0)[0].clean_groups) == 0


def test_nothing_in_a_suspect_tells_of_the_attack(pair, unlabelled):
    """Whatever of it a defence can reach: no plan, no mask, no clean copy of a poison, no true label, no trigger."""
    for run in (*pair, unlabelled):
        defender, _ = defender_of(run)
        e, told = run.experiment, defender.training.experiment
        assert not told.mask.any()
        assert (told.plan.target_indices, told.plan.other_indices, told.plan.trigger) == ((), (), "")
        assert torch.equal(told.train.images, defender.images)
        assert torch.equal(told.train.labels, defender.labels)
        if run is unlabelled:
            assert defender.source == "pseudo"
            assert not torch.equal(told.labels, e.train.labels)
        assert repr(told.train_trigger) != repr(e.train_trigger)
        assert told.recipe.poison_fraction == type(told.recipe)().poison_fraction
        assert not hasattr(defender.training, "checkpoint")


def test_scores_against_the_truth(pair, monkeypatch):
    """A detector that knows: AUROC 1, and flags two poisons and one clean image; infinite scores are no error."""
    run, benign = pair
    mask = run.experiment.mask
    flagged = torch.zeros(len(mask), dtype=torch.bool)
    flagged[mask.nonzero().flatten()[:2]] = True
    flagged[(~mask).nonzero().flatten()[:1]] = True
    scores = torch.where(mask, torch.inf, torch.arange(len(mask)).double())
    known = Defence(DETECTORS["spectral"].needs, lambda defender, trigger: Detection(scores, flagged))
    monkeypatch.setitem(DETECTORS, "spectral", known)
    rows = detection_rows(run, "spectral")
    assert list(rows.columns) == COLUMNS
    own = rows[rows.params.str.contains("labels=given") & (rows.reference == "")]
    given = own[own.x.isna()].set_index("measure")["value"]
    clean = len(mask) - 30 - int(mask.sum())  # but for those that are known to be
    assert given["detection_auroc"] == given["detection_auprc"] == 1
    assert given["detection_tpr"] == pytest.approx(2 / int(mask.sum()))
    known = defender_of(run)[0].known
    wrong = int((flagged & ~mask).sum() - (flagged & ~mask)[known].sum())
    assert given["detection_fpr"] == pytest.approx(wrong / clean)
    assert set(own[own.measure == "roc"]["value"]) == {1.0}, "every poison is above every clean image"
    clean = detection_rows(benign, "spectral")
    assert set(clean[clean.status == "ok"].measure) == {"detection_fpr"}
    assert clean.params.str.contains("labels=given").all(), "true labels are the given ones: not read twice"
    assert "roc" not in set(clean.measure)


def test_a_random_order_stands_beside(pair, monkeypatch):
    """What random scores really give lies about the reference, and inside its range nearly always."""
    run, _ = pair
    mask, g = run.experiment.mask, torch.Generator().manual_seed(0)
    none = torch.zeros(len(mask), dtype=torch.bool)
    chance = Defence((), lambda defender, trigger: Detection(torch.rand(len(mask), generator=g).double(), none))
    monkeypatch.setitem(DETECTORS, "strip", chance)
    inside = {"detection_auroc": 0, "detection_auprc": 0}
    for _ in range(40):
        rows = detection_rows(run, "strip")
        rows = rows[rows.x.isna()].set_index(["measure", "reference"])
        for measure in inside:
            by_chance = rows.loc[(measure, "random")]
            inside[measure] += by_chance.ci_low <= rows.loc[(measure, ""), "value"] <= by_chance.ci_high
    assert all(count >= 33 for count in inside.values()), inside
    assert rows.loc[("detection_auroc", "random"), "value"] == 0.5
    share = int(mask.sum()) / (len(mask) - 30)
    assert rows.loc[("detection_auprc", "random"), "value"] == pytest.approx(share, abs=0.06)


def test_a_detector_that_cannot_be_run_says_why(pair):
    rows = detection_rows(pair[0], "scan", budget=0.03)
    own = rows[rows.reference == ""]
    assert set(own.status) == {"undefined"}
    reason = parse_params(own.params.iloc[0])
    assert reason["defence"] == "scan"
    assert reason["budget"] == "0.03"
    assert reason["reason"].startswith("clean_labels: expected at least 2 images of a class")


def test_what_is_not_there_is_refused_with_a_sentence(pair):
    run, benign = pair
    bare, _ = defender_of(run, budget=0.0)
    for table in (DETECTORS, INSPECTIONS, MITIGATIONS):
        for name, defence in table.items():
            if any("clean images" in need for need in defence.needs):
                with pytest.raises(InputError, match=r"defence: expected (clean images|the loss)"):
                    defence(bare, run.experiment.test_trigger)
            assert all(defence.needs), name
    rows = mitigation_rows(run, benign, "i-bau", budget=0.0)
    assert set(rows.status) == {"undefined"}
    assert "expected clean images with their classes, received 0 classes" in rows.params.iloc[0]
    assert set(inspection_rows(run, "decree", budget=0.0).status) == {"undefined"}
    for arm, name, message in (
        ("byol", "abl", "the loss of each training image, received byol, whose snapshots do not give it"),
        ("badencoder", "luminance-in-training", "the training recipe, received badencoder: no training image is poiso"),
    ):
        with pytest.raises(InputError, match=message):
            {**DETECTORS, **MITIGATIONS}[name](of_arm(bare, arm), run.experiment.test_trigger)


@pytest.mark.parametrize("name", [*DETECTORS, *INSPECTIONS, *MITIGATIONS])
def test_every_defence_runs_and_only_oracles_look_at_the_trigger(pair, name):
    defender, _ = defender_of(pair[0], budget=0.3)
    table = next(t for t in (DETECTORS, INSPECTIONS, MITIGATIONS) if name in t)
    before = {key: x.clone() for key, x in defender.encoder.state_dict().items()}
    if TRIGGER in table[name].needs:
        with pytest.raises(AssertionError, match="looked"):
            table[name](defender, Secret())
        assert name.startswith("oracle")
        return
    found = table[name](defender, Secret())
    if table is DETECTORS:
        assert found.scores.shape == found.flagged.shape == (300,)
        assert not found.scores.isnan().any()
    elif table is MITIGATIONS:
        assert found(defender.images[:2]).shape == (2, 32)
        assert found.layers == defender.encoder.layers
    after = defender.encoder.state_dict()
    assert all(torch.equal(x, after[key]) for key, x in before.items()), "the defender stays as it is"


@pytest.mark.parametrize("name", DETECTORS)
def test_detectors_on_an_arm_without_labels(unlabelled, name):
    rows = detection_rows(unlabelled, name, budget=0.3)
    sources = {parse_params(p).get("labels") for p in rows.params}
    assert sources == ({"pseudo", "true"} if LABELS in DETECTORS[name].needs else {None})
    own = rows[(rows.reference == "") & rows.x.isna()]
    assert set(own.status) <= {"ok", "undefined"}
    if name in ("abl", "strip", "beatrix", BASELINE):
        assert set(own.status) == {"ok"}
        assert own["value"].between(0, 1).all()
    if LABELS in DETECTORS[name].needs:
        told = parse_params(own[own.params.str.contains("labels=true")].params.iloc[0])
        assert float(told["in_group"]) == pytest.approx(0.5, abs=0.02)


def test_every_defence_is_a_row(pair):
    run, benign = pair
    for name in ("activation-clustering", "scan", "abl", BASELINE):
        rows = detection_rows(run, name, budget=0.3)
        assert set(rows.status) == {"ok"}, rows.params.iloc[0]
        assert set(rows.measure) == {"roc", *(f"detection_{m}" for m in ("auroc", "auprc", "tpr", "fpr"))}
        assert rows["value"].between(0, 1).all()
        curve = rows[(rows.measure == "roc") & rows.params.str.contains("labels=given|defence=abl")]
        assert curve.sort_values("x")["value"].is_monotonic_increasing
    for name in ("clp", "luminance", "oracle-erasure"):
        rows = mitigation_rows(run, benign, name, readings="asr")
        assert {"acc", "asr", "r_acc"} <= set(rows.measure)
        assert {"", "benign"} <= set(rows.reference)
        assert {parse_params(p)["defence"] for p in rows.params} == {name}
        assert {parse_params(p)["recipe"] for p in rows.params} == {"small"}
    names = [*DETECTORS, *INSPECTIONS, *MITIGATIONS]
    assert len(set(names)) == len(names)


def test_an_inspection_is_of_the_encoder(pair):
    for other in pair:
        rows = inspection_rows(other, "decree", budget=0.2).set_index("measure")
        assert rows.loc["inspection_flagged", "value"] in (0.0, 1.0)
        assert (rows.loc["inspection_score", "value"] > 1) >= bool(rows.loc["inspection_flagged", "value"])
        assert rows.loc["inspection_target", "status"] == "undefined", "it names no class"


def test_the_share_is_of_what_the_arm_takes_for_the_target(pair):
    run, benign = pair
    e = run.experiment
    own = int((e.train.labels == e.plan.target).sum())
    assert poisoned_share(run) == pytest.approx(e.plan.count / (own + e.plan.count)), "dirty: poisons join the class"
    assert poisoned_share(benign) == 0


def test_training_again_on_the_same_images_is_the_same_training(pair):
    """Without a poison and quantised as the defender's images are, the clean run itself comes out, to the bit."""
    _, benign = pair
    defender, _ = defender_of(benign)
    again = defender.training.again(defender.images)
    for name, weight in benign.encoder.state_dict().items():
        assert torch.equal(weight, again.state_dict()[name]), name
    fewer = defender.training.again(defender.images, torch.arange(300) < 200)
    assert not torch.equal(fewer.backbone.conv1.weight, again.backbone.conv1.weight)
    with pytest.raises(InputError, match="mask: expected at least a batch of 64 images, received 10"):
        defender.training.again(defender.images, torch.arange(300) < 10)


def test_training_again_has_the_poisons_of_the_images(pair):
    """Poisons are in the images now, and no mask puts the trigger on: the poisoned run itself comes out."""
    run, _ = pair
    defender, _ = defender_of(run)
    again = defender.training.again(defender.images)
    for name, weight in run.encoder.state_dict().items():
        torch.testing.assert_close(again.state_dict()[name], weight, rtol=1e-3, atol=1e-4)


def test_early_losses_are_those_of_the_run(pair, unlabelled):
    """Of a supervised arm: cross-entropy of the image as it is, by encoder and head of the first snapshot after the
    warm-up (of two epochs the first)."""
    from intertwine.checkpoints.store import load_snapshot
    from intertwine.training.objectives import Supervised

    run, _ = pair
    defender, _ = defender_of(run)
    encoder, head = load_snapshot(run.checkpoint, 1)
    objective = Supervised(encoder.dim, run.experiment.recipe.hidden, 10)
    objective.load_state_dict(head)
    with torch.no_grad():
        logits = objective.eval().head(encoder(defender.images))
    expected = torch.nn.functional.cross_entropy(logits, defender.labels, reduction="none").double()
    torch.testing.assert_close(defender.losses, expected, rtol=1e-4, atol=1e-5)
    of_pairs, _ = defender_of(unlabelled)
    assert torch.equal(of_pairs.losses, of_pairs.training.early_losses(of_pairs.images)), "seeded"
    assert 1.0 < float(of_pairs.losses.mean()) < 6.0, "of NT-Xent among 64 pairs: ln 127 where nothing is learned"


def test_maps_are_those_of_the_last_stage(pair):
    defender, _ = defender_of(pair[0])
    assert defender.maps.shape[:2] == (300, 32)
    torch.testing.assert_close(defender.maps.mean((2, 3)), defender.features)
