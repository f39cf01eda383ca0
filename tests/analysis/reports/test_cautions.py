"""What a reader must know before the verdicts: where the backdoor itself is in doubt."""

import pandas as pd
from intertwine.analysis.reports.cautions import cautions

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
    assert "responds to the kind of trigger too: " in found[1]
    close = table(*rates())
    close.loc[close["value"] == 0.98, "value"] = 0.7
    assert "to the kind of trigger about as much as to this one: " in cautions(close)[1]


def test_a_benign_twin_that_responds_to_the_trigger_is_named():
    agreeing = table(*rates()).assign(value=0.5)
    [line] = cautions(agreeing)
    assert line.startswith(f"{RUN}: the benign twin has ASR 0.500 by kNN."), "as high as that of the poisoned one"
    agreeing.loc[agreeing["reference"] == "benign", "value"] = 0.2
    assert cautions(agreeing) == []


def test_of_many_runs_there_is_a_line_an_arm():
    many = [table(*rates(f"simclr-clean/seed{seed}")) for seed in range(4)]
    many[0].loc[many[0]["value"] == 0.98, "value"] = 0.95
    quiet = table(*rates("simclr-clean/seed4")).assign(value=0.2)
    found = cautions(pd.concat([*many, quiet], ignore_index=True))
    assert len(found) == 2
    assert found[0].startswith(
        "simclr-clean, 4 of 5 runs: the evaluators disagree: ASR is 0.950 to 0.980 by kNN and 0.010"
    )
    assert found[1].startswith("simclr-clean, 4 of 5 runs: triggers that were not trained reach ASR 0.600 to 0.600")
    assert cautions(table(*rates("supervised-benign/seed0"))) == [], "of benign arms there is nothing to say"


def test_different_numbers_of_images_are_named():
    def of(run, n):
        return [row(run, "effective_rank", 9.0, subset="clean", n=n), row(run, "acc", 0.9, subset="clean", n=2000)]

    [line] = cautions(table(*of("a/seed0", 200), *of("b/seed0", 2000), *of("c/seed0", 1000)))
    assert "a/seed0 was measured on 200, b/seed0 on 2000" in line
    assert cautions(table(*of("a/seed0", 1500), *of("b/seed0", 2000))) == [], "a split is never of the same size to one"
