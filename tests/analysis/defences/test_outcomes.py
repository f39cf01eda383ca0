"""What tables, claims and page say of defences, from rows whose truth is known."""

import numpy as np
import pandas as pd
import pytest
from intertwine.analysis.claims.defence_claims import CLASSIC, judge_defences
from intertwine.analysis.defences.catalogue import DETECTORS, MITIGATIONS
from intertwine.analysis.defences.outcomes import curves, detections, inspections, mitigations
from intertwine.analysis.reports.defence_report import (
    conclude_defences,
    detection_table,
    false_positives,
    inspection_table,
    mitigation_table,
    refusals,
)
from intertwine.analysis.results.schema import COLUMNS
from intertwine.analysis.results.table import write_rows
from intertwine.representations.errors import InputError

ARMS = ("supervised-dirty", "supervised-clean", "simclr-clean")


def row(arm, seed, measure, value, defence, reference="", share=0.5, **more):
    params = {"defence": defence, "recipe": "digits", "plan": f"{seed}{share}", "share": share, "budget": 0.1}
    params |= {"wall_s": 2.0, "cpu_s": 1.0}
    params |= {"evaluator": "knn"} if measure in ("acc", "asr", "r_acc") else {}
    params |= more.pop("params", {})
    fields = dict.fromkeys(COLUMNS, "") | {"n": 10, "d": 1, "ci_low": np.nan, "ci_high": np.nan, "x": np.nan}
    return fields | {
        **{"run": f"{arm}/seed{seed}", "arm": arm, "seed": seed, "epoch": 9, "measure": measure, "value": value},
        **{"reference": reference, "params": ";".join(f"{k}={v}" for k, v in params.items()), "status": "ok"},
        **{"layer": "features", "subset": {"acc": "clean"}.get(measure, "triggered")},
        **more,
    }


def treated(arm, seed, defence, acc, asr, benign_asr=0.0, **more):
    for measure, value, benign in (("acc", acc, 0.95), ("asr", asr, benign_asr), ("neighbour_mixing", asr / 2, 0.1)):
        yield row(arm, seed, measure, value, defence, **more)
        yield row(arm, seed, measure, benign, defence, reference="benign", run_b="clean/seed0", **more)


def detected(arm, seed, defence, auroc, labels="given", **more):
    params = {"labels": labels} if labels else {}
    for measure, value in (("auroc", auroc), ("auprc", auroc / 2), ("tpr", 0.5), ("fpr", 0.1 + seed / 10)):
        yield row(arm, seed, f"detection_{measure}", value, defence, layer="all", params=params, **more)
    yield row(arm, seed, "detection_auprc", 0.05, defence, reference="random", params=params, **more)
    for x in (0.1, 1.0):
        yield row(arm, seed, "roc", x, defence, x=x, params=params, **more)


def study(effect, *, seeds=10, noise=0.02, works=lambda arm, seed: True):
    """``effect`` arm → (AUROC of SCAn, share of ASR .9 over a benign twin of .1 that fine-tuning removes)."""
    g, rows = np.random.default_rng(0), []
    for arm in ARMS:
        for seed in range(seeds):
            auroc, removed = (v + noise * g.normal() for v in effect(arm))
            before = 0.9 if works(arm, seed) else 0.3
            rows += treated(arm, seed, "none", 0.96, before, 0.1)
            rows += treated(arm, seed, "fine-tuning", 0.94, 0.1 + (before - 0.1) * (1 - removed), 0.1)
            rows += treated(arm, seed, "oracle-erasure", 0.96, 0.1, 0.1)
            rows += detected(arm, seed, "scan", auroc, "pseudo" if arm == "simclr-clean" else "given")
            rows += treated(arm, seed, "luminance", 0.96, 0.1, 0.1)
            if arm == "simclr-clean":
                rows += detected(arm, seed, "scan", auroc + 0.2, "true")
            elif arm == "supervised-dirty":
                rows += detected(arm, seed, "scan", 0.123, "true")
            rows += detected(arm, seed, "class-density", 0.999, "pseudo" if arm == "simclr-clean" else "given")
    return pd.DataFrame(rows)


def judged(rows):
    table = judge_defences(detections(rows), mitigations(rows))
    assert set(table["claim"]) == {"C5"}
    table = table[table["kind"] != "detection, true labels"]
    return table.set_index(["against", "measure", "defence"])


def test_defences_that_fail_on_contrastive_support_the_claim_against_each_arm():
    table = judged(study(lambda arm: (0.6, 0.2) if arm == "simclr-clean" else (0.95, 0.9)))
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
    rows = study(lambda arm: (0.6, 0.2) if arm == "simclr-clean" else (0.95, 0.9))
    table = judge_defences(detections(rows), mitigations(rows))
    labelled = table[(table.kind == "detection, true labels") & (table.defence == "all")].set_index("against")
    for other in ARMS[:2]:
        assert labelled.loc[other, "effect"] == pytest.approx(0.15, abs=0.03), "a dirty arm learned the given labels"
        assert labelled.loc[other, "verdict"] == ""


@pytest.mark.parametrize(("simclr-clean", "verdict"), [((0.9, 0.8), "inconclusive"), ((1.0, 1.0), "not supported")])
def test_it_can_fail(contrastive, verdict):
    table = judged(study(lambda arm: contrastive if arm == "simclr-clean" else (0.9, 0.8), noise=0.05))
    assert set(table[table["verdict"] != ""]["verdict"]) == {verdict}


def test_few_seeds_are_indicative_and_failed_attacks_do_not_count():
    def effect(arm):
        return (0.6, 0.2) if arm == "simclr-clean" else (0.95, 0.9)

    table = judged(study(effect, seeds=3))
    assert set(table[table["verdict"] != ""]["verdict"]) == {"indicative: supported"}
    table = judged(study(effect, seeds=5, works=lambda arm, seed: arm != "simclr-clean" or seed < 3))
    assert set(table.xs("all", level="defence")["seeds"]) == {3}
    table = judged(study(effect, seeds=4, works=lambda arm, seed: arm != "simclr-clean" or seed < 2))
    line = table.loc[("supervised-dirty", "removed", "all")]
    assert (line["verdict"], line["why"]) == ("not evaluable", "both attacks work in 2 of 4 seeds")
    assert np.isnan(line["p"])


def test_seeds_in_which_nothing_was_tried_do_not_count():
    """Two more seeds have detectors, and mitigations only untreated: what was tried in the others is judged."""
    rows = study(lambda arm: (0.6, 0.2) if arm == "simclr-clean" else (0.95, 0.9), seeds=5)
    tried = rows["params"].str.contains("defence=none|defence=scan|defence=class-density")
    rows = rows[(rows["seed"] < 3) | tried]
    table = judged(rows).xs("all", level="defence")
    assert table.loc[("supervised-dirty", "removed"), "seeds"] == 3
    assert table.loc[("supervised-dirty", "auroc"), "seeds"] == 5
    assert table.loc[("supervised-dirty", "removed"), "verdict"] == "indicative: supported"


def test_arms_are_compared_at_the_same_share_only():
    rows = study(lambda arm: (0.9, 0.9), seeds=3)
    rows.loc[rows.arm == "supervised-dirty", "params"] = rows["params"].str.replace("share=0.5", "share=0.333")
    table = judge_defences(detections(rows), mitigations(rows))
    assert set(table["against"]) == {"supervised-clean"}
    assert set(table["share"]) == {0.5}


def test_what_a_mitigation_removes_is_counted_from_its_own_benign():
    rows = pd.DataFrame(
        [
            *treated("simclr-clean", 0, "none", 0.9, 0.9, 0.1),
            *treated("simclr-clean", 0, "clp", 0.8, 0.6, 0.2),
            *treated("simclr-clean", 1, "none", 0.9, 0.2, 0.1),
            *treated("simclr-clean", 1, "clp", 0.8, 0.1, 0.1),
        ]
    )
    table = mitigations(rows).set_index(["defence", "seed"])
    assert table.loc[("clp", 0), "removed"] == pytest.approx(1 - (0.6 - 0.2) / 0.8)
    assert table.loc[("clp", 0), "acc_lost"] == pytest.approx(0.1)
    assert table.loc[("clp", 0), "before_neighbour_mixing"] == pytest.approx(0.45)
    assert np.isnan(table.loc[("clp", 1), "removed"]), "the attack had not worked"
    (clp,) = (line for line in mitigation_table(mitigations(rows)).to_dict("records") if line["mitigation"] == "clp")
    assert (clp["ASR"], clp["its benign twin"], clp["ACC lost"]) == ("0.350", "0.150", "0.100")
    assert clp["repaired"] == "0 of 1", "where the attack had not worked there is nothing to repair"


def test_what_is_more_than_all_is_all_and_a_useless_encoder_is_not_repaired():
    rows = pd.DataFrame(
        [
            *treated("simclr-clean", 0, "none", 0.9, 0.9, 0.1),
            *treated("simclr-clean", 0, "clp", 0.9, 0.1, 0.5),
            *treated("simclr-clean", 0, "anp", 0.6, 0.0, 0.0),
        ]
    )
    table = mitigations(rows).set_index("defence")
    assert table.loc["clp", "removed"] == 1
    assert np.isnan(table.loc["anp", "removed"])


def test_two_plans_of_one_share_are_refused_and_those_of_clean_arms_averaged():
    rows = pd.DataFrame([*treated("simclr-clean", 0, "none", 0.9, 0.9, share=0.1)])
    other = rows.assign(params=rows["params"].str.replace("plan=00.1", "plan=7").str.replace("share=0.1", "share=0.09"))
    with pytest.raises(InputError, match=r"one plan for each .* received several of digits, 0\.1, contrastive, seed 0"):
        mitigations(pd.concat([rows, other]))
    clean = pd.DataFrame(
        [
            row("supervised-benign", 0, f"inspection_{what}", value, "decree", share=0.0, params={"plan": plan})
            for plan, flagged in (("a", 1.0), ("b", 0.0))
            for what, value in (("flagged", flagged), ("score", 2 * flagged))
        ]
    )
    (line,) = inspections(clean).to_dict("records")
    assert (line["flagged"], line["score"]) == (0.5, 1.0)


def test_the_tables_average_seeds():
    rows = pd.DataFrame(
        [
            *(
                line
                for seed, value in ((0, 0.6), (1, 0.8))
                for line in detected("simclr-clean", seed, "scan", value, "pseudo")
            ),
            *detected("simclr-clean", 0, "class-density", 0.9, "pseudo"),
            *detected("simclr-clean", 1, "class-density", 0.7, "pseudo"),
            *detected("simclr-clean", 0, "strip", 0.5, ""),
            *(row("supervised-benign", s, "detection_fpr", 0.1 + s / 5, "scan", share=0.0) for s in (0, 1)),
            *(row("supervised-benign", 0, "detection_fpr", 0.1, "scan", share=0.0) for _ in range(1)),
        ]
    )
    table = detection_table(detections(rows)).set_index("detector")
    assert (table.loc["scan", "AUROC"], table.loc["scan", "AUPRC"], table.loc["scan", "FPR"]) == (
        "0.700",
        "0.350",
        "0.150",
    )
    assert table.loc["scan", "minus class-density"] == "-0.100", "paired by seed"
    assert table.loc["strip", "minus class-density"] == "-0.400", "against the labels that the defender has"
    assert (table.loc["scan", "of a random order"], table.loc["strip", "labels"]) == ("0.050", "none")
    (clean,) = false_positives(detections(rows)).to_dict("records")
    assert clean == {"recipe": "digits", "arm": "supervised-benign", "scan": "0.200 (0.300)", "seeds": "2"}
    assert len(curves(rows)) == 10


def test_inspections_by_arm():
    rows = pd.DataFrame(
        [
            row(arm, seed, f"inspection_{what}", value, "neural-cleanse")
            for arm, score in (("supervised-dirty", 2.0), ("supervised-benign", 0.5))
            for seed in (0, 1)
            for what, value in (("flagged", float(score > 1)), ("score", score + seed), ("target", float(seed)))
        ]
    )
    table = inspection_table(inspections(rows)).set_index("arm")
    assert (table.loc["supervised-dirty", "flagged"], table.loc["supervised-benign", "flagged"]) == ("1.000", "0.000")
    assert table.loc["supervised-dirty", "names the target"] == "0.500"
    assert table.loc["supervised-dirty", "lowest and highest"] == "2.000 to 3.000"


def test_refusals_are_told_once():
    refused = [
        row("byol", seed, measure, np.nan, "abl-unlearning", status="undefined", params={"reason": "expected a loss"})
        for seed in (0, 1)
        for measure in ("acc", "asr")
    ]
    rows = pd.DataFrame([*refused, *treated("byol", 0, "none", 0.9, 0.9)])
    assert refusals(rows).to_dict("records") == [
        {"defence": "abl-unlearning", "arm": "byol", "because": "expected a loss"}
    ]
    assert np.isnan(mitigations(rows).set_index(["defence", "seed"]).loc[("abl-unlearning", 0), "asr"])


def test_page_and_figures_from_the_table_alone(tmp_path):
    write_rows(study(lambda arm: (0.9, 0.5), seeds=2), tmp_path / "defences.csv")
    written = conclude_defences(tmp_path)
    names = {path.relative_to(tmp_path).as_posix() for path in written}
    assert {
        "claims_c5.csv",
        "predicates_c5.json",
        "defences.md",
        "figures/map-digits-share0.5.pdf",
        "figures/roc-digits-share0.5-1col.png",
    } <= names
    page = (tmp_path / "defences.md").read_text()
    for title in ("C5", "Detection", "Mitigation", "What they need", "Cost"):
        assert f"## {title}" in page
    assert "## Inspection" not in page, "nothing was inspected"
    assert "| scan | detector | labels of the training images, clean images with their classes |" in page
    for image in page.split("](")[1:]:
        assert (tmp_path / image.partition(")")[0]).is_file()
    write_rows(pd.DataFrame([row("byol", 0, "cka", 0.5, "")]), tmp_path / "defences.csv")
    with pytest.raises(InputError, match=r"defences: .* has no rows of defences in its defences\.csv"):
        conclude_defences(tmp_path)


@pytest.mark.parametrize("kind", ["detectors", "clean", "inspections", "mitigations", "badencoder"])
def test_a_page_of_one_kind_alone(tmp_path, kind):
    rows = {
        "detectors": detected("simclr-clean", 0, "scan", 0.9, "pseudo"),
        "clean": [row("supervised-benign", 0, "detection_fpr", 0.1, "scan", share=0.0)],
        "inspections": [row("simclr-clean", 0, f"inspection_{w}", 1.0, "decree") for w in ("flagged", "score")],
        "mitigations": [
            line for arm in ARMS for name in ("none", "luminance") for line in treated(arm, 0, name, 0.9, 0.9)
        ],
        "badencoder": [
            *(line for name in ("none", "clp") for line in treated("badencoder", 0, name, 0.9, 0.9, share=0.0)),
            row("badencoder", 0, "detection_fpr", 0.1, "scan", share=0.0),
        ],
    }[kind]
    write_rows(pd.DataFrame([*rows]), tmp_path / "defences.csv")
    conclude_defences(tmp_path)
    page = (tmp_path / "defences.md").read_text()
    assert page.startswith("# What survives")
    assert ("## C5" in page) == (kind == "mitigations"), "an attack on the model is no way of learning"


def test_what_is_judged_is_in_the_catalogue():
    assert set(CLASSIC["detection"]) <= set(DETECTORS)
    assert set(CLASSIC["mitigation"]) <= set(MITIGATIONS)
