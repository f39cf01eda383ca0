"""C5 on planted rows of defences: supported, not supported, inconclusive, and what does not count."""

import numpy as np
import pytest
from intertwine.analysis.claims.defence_claims import C5_COLUMNS, CLASSIC, judge_defences, predicates_c5
from intertwine.analysis.defences.catalogue import DETECTORS, MITIGATIONS
from intertwine.analysis.defences.outcomes import detections, mitigations

from tests.analysis.defence_rows import ARMS, defence_study


def judged(rows):
    table = judge_defences(detections(rows), mitigations(rows))
    assert set(table["claim"]) == {"C5"}
    table = table[table["kind"] != "detection, true labels"]
    return table.set_index(["against", "measure", "defence"])


def test_defences_that_fail_on_contrastive_support_the_claim_against_each_arm():
    table = judged(defence_study(lambda arm: (0.6, 0.2) if arm == "simclr-clean" else (0.95, 0.9)))
    for other in ARMS[:2]:
        line = table.loc[(other, "auroc", "all")]
        assert line["effect"] == pytest.approx(0.35, abs=0.03), "neither oracle labels nor the baseline count"
        assert line["verdict"] == "supported"
        assert line["p_holm"] >= line["p"]
        line = table.loc[(other, "removed", "all")]
        assert line["effect"] == pytest.approx(0.7, abs=0.03)
        assert (line["verdict"], line["seeds"]) == ("supported", 10)
        assert table.loc[(other, "acc_lost", "all"), "verdict"] == ""
        assert table.loc[(other, "removed", "fine-tuning"), "verdict"] == ""
        assert table.loc[(other, "removed", "luminance"), "effect"] == pytest.approx(0.0), "told, and in no mean"


def test_what_is_k_means_and_what_is_the_detector_stand_beside_each_other():
    rows = defence_study(lambda arm: (0.6, 0.2) if arm == "simclr-clean" else (0.95, 0.9))
    table = judge_defences(detections(rows), mitigations(rows))
    labelled = table[(table.kind == "detection, true labels") & (table.defence == "all")].set_index("against")
    for other in ARMS[:2]:
        assert labelled.loc[other, "effect"] == pytest.approx(0.15, abs=0.03), "a dirty arm learned the given labels"
        assert labelled.loc[other, "verdict"] == ""


@pytest.mark.parametrize(("of_simclr", "verdict"), [((0.9, 0.8), "inconclusive"), ((1.0, 1.0), "not supported")])
def test_it_can_fail(of_simclr, verdict):
    table = judged(defence_study(lambda arm: of_simclr if arm == "simclr-clean" else (0.9, 0.8), noise=0.05))
    assert set(table[table["verdict"] != ""]["verdict"]) == {verdict}


def test_few_seeds_are_indicative_and_failed_attacks_do_not_count():
    def effect(arm):
        return (0.6, 0.2) if arm == "simclr-clean" else (0.95, 0.9)

    table = judged(defence_study(effect, seeds=3))
    assert set(table[table["verdict"] != ""]["verdict"]) == {"indicative: supported"}
    table = judged(defence_study(effect, seeds=5, works=lambda arm, seed: arm != "simclr-clean" or seed < 3))
    assert set(table.xs("all", level="defence")["seeds"]) == {3}
    table = judged(defence_study(effect, seeds=4, works=lambda arm, seed: arm != "simclr-clean" or seed < 2))
    line = table.loc[("supervised-dirty", "removed", "all")]
    assert (line["verdict"], line["why"]) == ("not evaluable", "both attacks work in 2 of 4 seeds")
    assert np.isnan(line["p"])


def test_seeds_in_which_nothing_was_tried_do_not_count():
    """Two more seeds have detectors, and mitigations only untreated: what was tried in the others is judged."""
    rows = defence_study(lambda arm: (0.6, 0.2) if arm == "simclr-clean" else (0.95, 0.9), seeds=5)
    rows = rows[(rows["seed"] < 3) | rows["defence"].isin(["none", "scan", "class-density"])]
    table = judged(rows).xs("all", level="defence")
    assert table.loc[("supervised-dirty", "removed"), "seeds"] == 3
    assert table.loc[("supervised-dirty", "auroc"), "seeds"] == 5
    assert table.loc[("supervised-dirty", "removed"), "verdict"] == "indicative: supported"


def test_arms_are_compared_at_the_same_share_only():
    rows = defence_study(lambda arm: (0.9, 0.9), seeds=3)
    rows.loc[rows.arm == "supervised-dirty", "share"] = 0.333
    table = judge_defences(detections(rows), mitigations(rows))
    assert set(table["against"]) == {"supervised-clean"}
    assert set(table["share"]) == {0.5}


def test_without_two_seeds_or_a_classic_defence_there_is_no_verdict():
    rows = defence_study(lambda arm: (0.9, 0.9), seeds=1)
    table = judged(rows).xs("all", level="defence")
    assert set(table["verdict"]) <= {"", "not evaluable"}
    assert set(table["why"]) == {"fewer than two seeds have no interval"}
    rows = defence_study(lambda arm: (0.9, 0.9), seeds=3)
    table = judged(rows[rows["defence"] != "fine-tuning"])
    line = table.loc[("supervised-clean", "removed", "all")]
    assert (line["verdict"], line["why"]) == ("not evaluable", "no classic defence has an effect in every seed")
    assert list(judge_defences(detections(rows.head(0)), mitigations(rows.head(0))).columns) == C5_COLUMNS


def test_classic_defences_are_in_the_catalogue():
    assert set(CLASSIC["detection"]) <= set(DETECTORS)
    assert set(CLASSIC["mitigation"]) <= set(MITIGATIONS)


def test_predicates_name_the_evaluator_where_it_is_not_the_default():
    assert "evaluator" not in predicates_c5()
    assert predicates_c5("ridge")["evaluator"] == "ridge"
    assert predicates_c5("ridge").items() >= predicates_c5().items()
