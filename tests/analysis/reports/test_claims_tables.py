"""Verdicts as text: once for both readings, and counted."""

import pandas as pd
from intertwine.analysis import judge
from intertwine.analysis.claims.learning_claims import CLAIM_COLUMNS
from intertwine.analysis.reports.claims_tables import by_contrast, claims_table, in_short

from tests.factories import row, table


def test_a_verdict_is_given_once_for_both_its_readings():
    rows = table(
        *(
            row(f"{arm}/seed0", measure, value, reference, interval=(value - 0.01, value + 0.01), **where)
            for arm in ("simclr-clean", "supervised-dirty")
            for measure, where in (
                ("neighbour_mixing", {"subset": "hits"}),
                ("gradient_alignment", {"subset": "clean_other", "layer": "all"}),
            )
            for reference, value in (("", 0.5), ("benign", 0.1))
        )
    )
    claims = judge(rows)
    lines = claims_table(claims)
    assert len(by_contrast(claims)) == 3
    verdicts = [f"indicative: {verdict}" for verdict in ("not supported", "supported", "inconclusive")]
    assert lines["verdict"].tolist()[::2] == verdicts
    assert lines["verdict"].tolist()[1::2] == ["", "", ""]
    assert lines["reading"].tolist() == ["neighbour_mixing", "gradient_alignment"] * 3
    assert lines["claim"].str.startswith(("C2: ", "C3: ", "C4: ")).tolist() == [True, False] * 3
    assert lines["effect"].tolist() == ["0.400"] * 4 + ["0.000"] * 2
    assert set(lines["p (Holm)"]) == {"–", ""}, "one seed has no p"


def test_verdicts_in_short_are_counted_by_contrast():
    lines = [("C3", "supported"), ("C4", "inconclusive"), ("C4", "supported"), ("C4", "supported")]
    claims = pd.DataFrame([{"claim": claim, "verdict": verdict} for claim, verdict in lines], columns=CLAIM_COLUMNS)
    assert in_short(claims, by=["claim"]) == [
        (("C3",), "supported (1 of 1)"),
        (("C4",), "supported (2 of 3), inconclusive (1 of 3)"),
    ]
