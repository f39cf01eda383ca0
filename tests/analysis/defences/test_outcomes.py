"""What came of defences, one line each, from rows whose truth is known."""

import numpy as np
import pandas as pd
import pytest
from intertwine.analysis.defences.outcomes import curves, detections, inspections, mitigations
from intertwine.representations.errors import InputError

from tests.analysis.defence_rows import defended, detected, inspected, treated
from tests.factories import table


def test_what_a_mitigation_removes_is_counted_from_its_own_benign_twin():
    rows = table(
        *treated("simclr-clean", 0, "none", 0.9, 0.9, 0.1),
        *treated("simclr-clean", 0, "clp", 0.8, 0.6, 0.2),
        *treated("simclr-clean", 1, "none", 0.9, 0.2, 0.1),
        *treated("simclr-clean", 1, "clp", 0.8, 0.1, 0.1),
    )
    lines = mitigations(rows).set_index(["defence", "seed"])
    clp = lines.loc[("clp", 0)]
    assert clp["removed"] == pytest.approx(1 - (0.6 - 0.2) / 0.8)
    assert clp["acc_lost"] == pytest.approx(0.1)
    assert clp["benign_acc_lost"] == 0
    assert clp["before_neighbour_mixing"] == pytest.approx(0.45)
    assert (clp["wall_s"], clp["cpu_s"]) == (2.0, 1.0)
    assert np.isnan(lines.loc[("clp", 1), "removed"]), "the attack had not worked"
    assert not lines.loc[("clp", 1), "worked"]


def test_what_is_more_than_all_is_all_and_a_useless_encoder_is_not_repaired():
    rows = table(
        *treated("simclr-clean", 0, "none", 0.9, 0.9, 0.1),
        *treated("simclr-clean", 0, "clp", 0.9, 0.1, 0.5),
        *treated("simclr-clean", 0, "anp", 0.6, 0.0, 0.0),
    )
    lines = mitigations(rows).set_index("defence")
    assert lines.loc["clp", "removed"] == 1
    assert np.isnan(lines.loc["anp", "removed"])


def test_rates_are_those_of_the_evaluator_that_is_asked_for():
    by_knn = list(treated("simclr-clean", 0, "none", 0.9, 0.9, 0.1))
    rates = [r for r in by_knn if r["evaluator"]]
    by_ridge = [r | {"evaluator": "ridge", "decides": False, "value": 0.5} for r in rates]
    rows = table(*by_knn, *by_ridge)
    assert mitigations(rows)["asr"].tolist() == [0.9]
    assert mitigations(rows, "ridge")["asr"].tolist() == [0.5]


def test_two_plans_of_one_share_are_refused_and_those_of_benign_arms_averaged():
    rows = table(*treated("simclr-clean", 0, "none", 0.9, 0.9, share=0.1))
    other = rows.assign(plan="7", share=0.09)
    with pytest.raises(InputError, match=r"one plan for each .* received several of digits, 0\.1, simclr-clean, see"):
        mitigations(pd.concat([rows, other]))
    clean = table(
        *inspected("supervised-benign", 0, "decree", flagged=1.0, score=2.0, share=0.0, plan="a"),
        *inspected("supervised-benign", 0, "decree", flagged=0.0, score=0.0, share=0.0, plan="b"),
    )
    (line,) = inspections(clean).to_dict("records")
    assert (line["flagged"], line["score"]) == (0.5, 1.0)


def test_a_detector_is_a_line_for_each_source_of_labels():
    rows = table(
        *detected("simclr-clean", 0, "scan", 0.6, "pseudo"),
        *detected("simclr-clean", 0, "scan", 0.8, "true"),
        defended("simclr-clean", 0, "group_poison_share", 0.4, "scan", layer="all", subset="", labels="pseudo"),
        *treated("simclr-clean", 0, "none", 0.9, 0.9, 0.1),
    )
    lines = detections(rows).set_index("labels")
    assert lines.loc["pseudo", ["auroc", "auprc", "auprc_random", "in_group"]].tolist() == [0.6, 0.3, 0.05, 0.4]
    assert np.isnan(lines.loc["true", "in_group"])
    assert set(lines["defence"]) == {"scan"}, "mitigations are no detectors"
    points = curves(rows)
    assert points[["labels", "x", "value"]].values.tolist() == [
        [labels, x, x] for labels in ("pseudo", "true") for x in (0.1, 1.0)
    ]


def test_where_nothing_was_tried_tables_are_empty():
    nothing = table(*treated("simclr-clean", 0, "none", 0.9, 0.9)).head(0)
    for made in (detections(nothing), inspections(nothing), mitigations(nothing), curves(nothing)):
        assert made.empty
