"""Verdicts as text: once for all parts of a claim, and counted; plans as text."""

import pandas as pd
from intertwine.analysis import judge
from intertwine.analysis.claims.learning_claims import CLAIM_COLUMNS
from intertwine.analysis.reports.claims_tables import by_contrast, claims_in_short, claims_table, in_short, plan_table

from tests.analysis.claim_rows import APART, CELLS, ONE, study_of

VALUES = dict.fromkeys(CELLS[:2], APART) | dict.fromkeys(CELLS[2:], ONE)


def test_a_verdict_is_given_once_for_all_its_parts():
    claims = judge(study_of({"supervised-dirty": APART, "simclr-clean": ONE}, seeds=1))
    lines = claims_table(claims)
    assert len(by_contrast(claims)) == 5
    assert lines["verdict"].tolist()[:5] == ["indicative: supported", "", "", "indicative: supported", ""]
    assert lines["reading"].tolist()[:3] == ["mixing (smaller side)", "interference", "mediation excess"]
    assert lines["must be"].tolist()[:5] == ["< 0.1", "within ±0.15", "< 0.2", "> 0.5", "> 0.2"]
    assert lines["claim"].str.startswith(("C2: ", "C3: ", "C4: ")).tolist()[:5] == [True, False, False, True, False]
    assert lines["part"].tolist()[:5] == ["pass"] * 5
    assert set(lines["p (Holm)"]) == {"–", ""}, "one run has no p"
    assert lines["seeds"][0] == "one run"


def test_exploratory_claims_are_marked_and_not_counted_in_short():
    claims = judge(study_of(VALUES | {"moco-clean": APART}))
    lines = claims_table(claims)
    marked = lines[lines["claim"].str.endswith("(exploratory)")]
    assert "moco-clean" in set(marked["arm"])
    assert "simclr" not in set(marked["arm"])
    short = claims_in_short(claims)
    assert (short[0][0][0], short[0][1]) == ("C2", "supported (2 of 2)")
    assert short[1] == (("C3", "contrastive learning intertwines its two tasks"), "supported (2 of 2)")
    assert [verdicts for (claim, _), verdicts in short if claim == "C4"] == [
        "supported (1 of 1)",
        "not supported (1 of 1)",
        "not supported (1 of 1)",
    ]
    alone = judge(study_of({"moco-clean": APART}))
    assert claims_in_short(alone)[0][1] == "not supported (1 of 1)"
    assert claims_in_short(alone.head(0)) == []


def test_verdicts_in_short_are_counted_by_contrast():
    lines = [("C3", "supported"), ("C4", "inconclusive"), ("C4", "supported"), ("C4", "supported")]
    claims = pd.DataFrame([{"claim": claim, "verdict": verdict} for claim, verdict in lines], columns=CLAIM_COLUMNS)
    assert in_short(claims, by=["claim"]) == [
        (("C3",), "supported (1 of 1)"),
        (("C4",), "supported (2 of 3), inconclusive (1 of 3)"),
    ]


def test_a_plan_is_one_line_a_part():
    bare = plan_table(CELLS, 10, None)
    assert bare.columns[-1] == "largest SD for 10 seeds"
    assert bare["arm"].tolist()[:4] == ["supervised-dirty", "", "", "supervised-clean"]
    piloted = plan_table(CELLS, 10, study_of(VALUES, sd=0.001))
    assert len(piloted) == len(bare)
    assert set(piloted["seeds to support"]) == set(piloted["runs an arm"]) == {"10"}
    assert set(plan_table(["moco-clean"], 10, study_of(VALUES))["runs an arm"]) == {"–"}
