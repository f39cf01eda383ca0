"""The answer first: its sentence follows the registered rules, and its numbers are those of the rows."""

import re

import pandas as pd
import pytest
from intertwine.analysis.reports.answer import answer, in_short
from intertwine.analysis.reports.labels import LABELS
from intertwine.analysis.results.measures import PRIMARY
from intertwine.representations.errors import InputError

from tests.analysis.claim_rows import APART, ONE, study_of
from tests.factories import row, table

ARM = "simclr-clean"
BETWEEN = (0.1, 0.2, 0.15)
"""Each reading of C2 at its margin."""


def one_run(values=APART, arm=ARM, **more):
    return study_of({arm: values}, seeds=1, sd=0.0, **more)


def measured(arm=ARM, *, twin=0.1, run=None, status="ok", note="", recipe="digits", epoch=9.0, n=100):
    """Rows of a run, as a panel returns them: rates by three evaluators, and the primaries with ends and twin."""
    run, about = run or f"{arm}/seed3", {"recipe": recipe, "epoch": epoch}
    rows = [row(run, "backdoored", 1.0, subset="triggered", **about)]
    for evaluator, rates in {"native": (0.97, 0.991), "knn": (0.96, 0.902), "ridge": (0.95, 0.013)}.items():
        by = {"evaluator": evaluator, "decides": evaluator == "native", **about}
        for reference, less in {"": 0.0, "benign": 0.4}.items():
            rows.append(row(run, "acc", rates[0], reference, subset="clean", n=597, **by))
            rows.append(row(run, "asr", max(0.0, rates[1] - less), reference, subset="triggered", **by))
            rows.append(row(run, "r_acc", 0.123, reference, subset="triggered", **by))
    for i, (measure, place) in enumerate(PRIMARY.items()):
        value = 0.3 + i / 10
        own = {"interval": (value - 0.1, value + 0.1), "status": status, "note": note, "n": n}
        rows.append(row(run, measure, value, **own, **place, **about))
        ends = {"apart": 0.0, "together": 1.0} | ({"benign": twin} if measure != "collateral" else {})
        rows += [row(run, measure, end, reference, **place, **about) for reference, end in ends.items()]
    return table(*rows).assign(arm=arm)


@pytest.mark.parametrize(
    ("values", "natural", "expected"),
    [
        (APART, (0.9, 100), "are apart by mixing (smaller side), interference and mediation excess; one run"),
        (ONE, (0.9, 100), "are together by mixing (smaller side) and mediation excess, not apart by interference; one"),
        # Mixing is far from nothing, and far from that of false positives.
        (
            (0.4, 0.0, 0.0),
            (0.9, 100),
            "apart by interference and mediation excess, not apart by mixing (smaller",
        ),
        # By the rule of C2 mixing is little, by that of C3 it is much: as much as of false positives.
        (
            (0.05, 0.0, 0.0),
            (0.05, 100),
            "are apart by interference and mediation excess; mixing (smaller side) does",
        ),
        ((0.1, 0.0, 0.0), (0.9, 100), "interference and mediation excess; mixing (smaller side) does not decide; one"),
        (BETWEEN, (0.9, 100), "In short: no reading decides; one run is indicative only."),
    ],
)
def test_the_sentence_follows_the_margins_of_the_claims(values, natural, expected):
    said = in_short(one_run(values, natural=natural, half=0.04 if values == BETWEEN else 0.02))
    assert said.startswith("In short: ")
    assert said.endswith("one run is indicative only.")
    assert expected in said


def test_where_there_is_nothing_to_judge_it_says_so():
    assert "not shown to work" in in_short(one_run(failed=[f"{ARM}/seed0"]))
    assert "not shown to work" in in_short(one_run().query("measure != 'backdoored'"))
    assert "trained without poison" in in_short(one_run(arm="simclr-benign"))
    said = in_short(one_run(status="not_estimable"))
    assert "no reading decides; there is no valid mixing (smaller side), interference and mediation excess" in said


def test_a_foreign_encoder_with_other_layers_is_judged_too():
    rows = one_run(arm="foreign")
    rows["layer"] = rows["layer"].replace({PRIMARY["mediation_excess"]["layer"]: "blocks.5"})
    mediated = rows[rows["measure"] == "mediation_excess"].assign(measure="mediation")
    rows = pd.concat([rows, mediated], ignore_index=True).assign(epoch=float("nan"))
    assert "apart by mixing (smaller side), interference and mediation excess" in in_short(rows)
    assert "foreign encoder" in answer(rows)


@pytest.mark.parametrize("width", [80, 100, 160])
def test_the_answer_is_short_and_all_its_numbers_are_in_the_rows(width):
    rows = measured()
    text = answer(rows, width)
    lines = text.splitlines()
    assert len(lines) <= 25
    assert max(map(len, lines)) <= width
    assert "…" not in text
    known = {f"{value:.3f}" for column in ("value", "ci_low", "ci_high") for value in rows[column].dropna()}
    shown = set(re.findall(r"-?\d+\.\d{3}", text))
    assert shown
    assert shown <= known
    for measure in PRIMARY:
        value = rows[(rows["measure"] == measure) & (rows["reference"] == "")]["value"].iloc[0]
        [line] = [line for line in lines if line.startswith(LABELS[measure])]
        assert f"{value:.3f}" in line
        assert line.count("●") == 1
        assert line.count("│") == (measure != "collateral"), "the twin is a tick, where there is one"
    assert "ASR by kNN is 0.902, the benign twin's is 0.502" in text or "native head is 0.991" in text
    assert "native 0.991 (0.591)" in text
    assert lines[0].startswith("simclr-clean, seed 3, recipe digits, 9 epochs")


@pytest.mark.parametrize("status", ["too_few_hits", "not_estimable", "undefined"])
@pytest.mark.parametrize("note", ["", "expected something of these images that they do not have at all " * 3])
def test_a_reading_without_a_valid_value_has_its_status_and_no_number(status, note):
    rows = measured(status=status, note=note.strip(), n=12)
    text = answer(rows)
    assert len(text.splitlines()) <= 25
    assert max(map(len, text.splitlines())) <= 80
    assert "●" not in text
    for i in range(len(PRIMARY)):
        assert f"{0.3 + i / 10:.3f}" not in text
    words = {
        "too_few_hits": "too few hits: 12, at least 50",
        "not_estimable": "a gradient is not told",
        "undefined": "undefined",
    }
    assert len([line for line in text.splitlines() if re.match(rf"[a-z() ]+  {words[status]}", line)]) == len(PRIMARY)


def test_without_twin_ends_or_primaries_it_shows_what_there_is():
    rows = measured()
    alone = answer(rows[rows["reference"] != "benign"])
    assert "│" not in alone.replace("│ benign twin", "")
    assert "native 0.991" in alone
    assert "native 0.991 (" not in alone
    assert answer(rows[~rows["reference"].isin(["apart", "together"])]).count("no ends") == len(PRIMARY)
    rates = answer(rows[~rows["measure"].isin(PRIMARY)])
    assert "None of the primary readings was measured." in rates
    with pytest.raises(InputError, match="received none"):
        answer(rows[:0])


def test_of_several_runs_there_is_a_line_an_arm_and_a_verdict():
    arms = {"supervised-dirty": APART, "supervised-clean": APART, "simclr-clean": ONE, "simclr-dirty": ONE}
    text = answer(study_of(arms, natural=(0.9, 100), failed=["simclr-dirty/seed0"]))
    lines = text.splitlines()
    assert len(lines) <= 25
    assert max(map(len, lines)) <= 80
    [dirty] = [line for line in lines if line.startswith("simclr-dirty ")]
    assert "9 of 10" in dirty
    assert [line for line in lines if re.match(r"C2  supervised-dirty .* supported$", line)]
    assert "C2 is supported (2 of 2); C3 is " in " ".join(text.split())


def test_several_foreign_encoders_have_a_line_each():
    both = [measured("foreign", run=name, recipe="", epoch=float("nan")) for name in ("mine", "yours-clean")]
    both[1]["value"] *= 0.5
    text = answer(pd.concat(both, ignore_index=True))
    assert [line.split()[1:4] for line in text.splitlines() if line.startswith(("mine ", "yours-clean "))] == [
        ["1", "of", "1"]
    ] * 2
    assert "no claim is about these arms" in text
    assert "0.970" in text
    assert "0.485" in text
