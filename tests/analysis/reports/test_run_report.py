"""The page of runs: what a reader must know before the verdicts, the verdicts, the figures."""

import pandas as pd
from intertwine.analysis import judge
from intertwine.analysis.reports.run_report import cautions, claims_table

from tests.factories import row, table

RUN = "simclr-clean/seed0"


def rates(run=RUN):
    """ASR by both evaluators, of the run, its benign twin and other triggers."""
    return [
        row(run, "asr", value, reference, evaluator=evaluator, decides=evaluator == "knn")
        for reference, evaluator, value in (
            *(("", "knn", 0.98), ("", "ridge", 0.01), ("benign", "knn", 0.0), ("benign", "ridge", 0.0)),
            *(("random-trigger", "knn", 0.6), ("random-trigger", "ridge", 0.0)),
        )
    ]


def test_cautions_name_evaluators_that_disagree_and_triggers_that_generalise():
    found = cautions(table(*rates()))
    assert len(found) == 2
    assert "0.980 by kNN and 0.010 by the ridge probe" in found[0]
    assert "reach ASR 0.600" in found[1]
    assert "answers to the kind of trigger too: " in found[1]
    close = table(*rates())
    close.loc[close["value"] == 0.98, "value"] = 0.7
    assert "to the kind of trigger about as much as to this one: " in cautions(close)[1]


def test_a_clean_encoder_that_answers_to_the_trigger_is_named():
    agreeing = table(*rates()).assign(value=0.5)
    [line] = cautions(agreeing)
    assert line.startswith(f"{RUN}: the clean encoder has ASR 0.500 by kNN."), "as high as that of the poisoned one"
    agreeing.loc[agreeing["reference"] == "benign", "value"] = 0.2
    assert cautions(agreeing) == []


def test_of_many_runs_there_is_a_line_an_arm():
    many = [table(*rates(f"simclr-clean/seed{seed}")) for seed in range(4)]
    many[0].loc[many[0]["value"] == 0.98, "value"] = 0.95
    quiet = table(*rates("simclr-clean/seed4")).assign(value=0.2)
    found = cautions(pd.concat([*many, quiet], ignore_index=True))
    assert len(found) == 2
    assert found[0].startswith(
        "simclr-clean, 4 of 5 runs: the evaluators disagree, ASR is 0.950 to 0.980 by kNN and 0.010"
    )
    assert found[1].startswith(
        "simclr-clean, 4 of 5 runs: triggers that it was never trained on reach ASR 0.600 to 0.600"
    )
    assert cautions(table(*rates("supervised-benign/seed0"))) == [], "of benign arms there is nothing to say"


def test_a_verdict_is_told_once_for_both_its_readings():
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
    lines = claims_table(judge(rows))
    verdicts = [f"indicative: {told}" for told in ("not supported", "supported", "inconclusive")]
    assert lines["verdict"].tolist()[::2] == verdicts
    assert lines["verdict"].tolist()[1::2] == ["", "", ""]
    assert lines["reading"].tolist() == ["neighbour_mixing", "gradient_alignment"] * 3
    assert lines["claim"].str.startswith(("C2: ", "C3: ", "C4: ")).tolist() == [True, False] * 3
    assert lines["effect"].tolist() == ["0.400"] * 4 + ["0.000"] * 2
    assert set(lines["p (Holm)"]) == {"–", ""}, "one seed has no p"
