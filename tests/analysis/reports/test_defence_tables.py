"""Tables of defences, from rows whose truth is known."""

import numpy as np
from intertwine.analysis.claims.defence_claims import judge_defences
from intertwine.analysis.defences.outcomes import detections, inspections, mitigations
from intertwine.analysis.reports.defence_tables import (
    c5_table,
    cost_table,
    detection_table,
    false_positives,
    inspection_table,
    mitigation_table,
    needs_table,
    refusals,
)

from tests.analysis.defence_rows import defence_study, defended, detected, inspected, treated
from tests.factories import table


def test_tables_average_seeds():
    rows = table(
        *(
            line
            for seed, value in ((0, 0.6), (1, 0.8))
            for line in detected("simclr-clean", seed, "scan", value, "pseudo")
        ),
        *detected("simclr-clean", 0, "class-density", 0.9, "pseudo"),
        *detected("simclr-clean", 1, "class-density", 0.7, "pseudo"),
        *detected("simclr-clean", 0, "strip", 0.5, ""),
        *(defended("supervised-benign", s, "detection_fpr", 0.1 + s / 5, "scan", share=0.0) for s in (0, 1)),
    )
    lines = detection_table(detections(rows)).set_index("detector")
    assert lines.loc["scan", ["AUROC", "AUPRC", "FPR"]].tolist() == ["0.700", "0.350", "0.150"]
    assert lines.loc["scan", "minus class-density"] == "-0.100", "paired by seed"
    assert lines.loc["strip", "minus class-density"] == "-0.400", "against the labels that the defender has"
    assert (lines.loc["scan", "of a random order"], lines.loc["strip", "labels"]) == ("0.050", "none")
    (clean,) = false_positives(detections(rows)).to_dict("records")
    assert clean == {"recipe": "digits", "arm": "supervised-benign", "scan": "0.200 (0.300)", "seeds": "2"}


def test_mitigations_by_arm():
    rows = table(
        *treated("simclr-clean", 0, "none", 0.9, 0.9, 0.1),
        *treated("simclr-clean", 0, "clp", 0.8, 0.6, 0.2),
        *treated("simclr-clean", 1, "none", 0.9, 0.2, 0.1),
        *treated("simclr-clean", 1, "clp", 0.8, 0.1, 0.1),
    )
    clp = mitigation_table(mitigations(rows)).set_index("mitigation").loc["clp"]
    assert clp[["ASR", "benign twin's ASR", "ACC lost"]].tolist() == ["0.350", "0.150", "0.100"]
    assert clp["repaired"] == "0 of 1", "where the attack had not worked there is nothing to repair"


def test_inspections_by_arm():
    rows = table(
        *(
            line
            for arm, score in (("supervised-dirty", 2.0), ("supervised-benign", 0.5))
            for s in (0, 1)
            for line in inspected(arm, s, "neural-cleanse", flagged=float(score > 1), score=score + s, target=float(s))
        )
    )
    lines = inspection_table(inspections(rows)).set_index("arm")
    assert (lines.loc["supervised-dirty", "flagged"], lines.loc["supervised-benign", "flagged"]) == ("1.000", "0.000")
    assert lines.loc["supervised-dirty", "names the target"] == "0.500"
    assert lines.loc["supervised-dirty", "lowest and highest"] == "2.000 to 3.000"


def test_refusals_are_listed_once():
    refused = [
        defended("byol-clean", seed, measure, np.nan, "abl-unlearning", status="undefined", note="expected a loss")
        for seed in (0, 1)
        for measure in ("acc", "asr")
    ]
    rows = table(*refused, *treated("byol-clean", 0, "none", 0.9, 0.9))
    assert refusals(rows).to_dict("records") == [
        {"defence": "abl-unlearning", "arm": "byol-clean", "because": "expected a loss"}
    ]
    assert np.isnan(mitigations(rows).set_index(["defence", "seed"]).loc[("abl-unlearning", 0), "asr"])


def test_needs_and_costs_are_of_what_was_tried():
    rows = table(
        *treated("simclr-clean", 0, "none", 0.9, 0.9),
        *treated("simclr-clean", 0, "clp", 0.9, 0.9),
        *detected("simclr-clean", 0, "scan", 0.9),
    )
    needs = needs_table(rows).set_index("defence")
    assert sorted(needs.index) == ["clp", "scan"]
    assert needs.loc["scan", "needs"] == "labels of the training images, clean images with their classes"
    costs = cost_table(detections(rows), inspections(rows), mitigations(rows)).set_index("defence")
    assert sorted(costs.index) == ["clp", "scan"]
    assert costs.loc["clp"].tolist() == ["2.0", "1.0", "1"]


def test_claims_show_means_and_of_what_decides_each_defence():
    rows = defence_study(lambda arm: (0.6, 0.2) if arm == "simclr-clean" else (0.95, 0.9), seeds=2)
    lines = c5_table(judge_defences(detections(rows), mitigations(rows)))
    assert set(lines[lines["of"] == "ACC lost"]["defence"]) == {"**all**"}
    assert {"**all**", "fine-tuning"} <= set(lines[lines["of"] == "ASR removed"]["defence"])
    assert "AUROC, true labels" in set(lines["of"])
