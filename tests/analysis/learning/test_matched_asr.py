"""The trigger is weakened until half of the images reach the target, and readings are taken there."""

from dataclasses import replace

import pandas as pd
import pytest
from intertwine.analysis.claims.learning_claims import judge
from intertwine.analysis.learning import matched_asr
from intertwine.analysis.learning.matched_asr import ASR_LEVEL, matched_rows, measure_matched
from intertwine.analysis.results.measures import PRIMARY
from intertwine.analysis.results.table import final_rows

from tests.analysis.claim_rows import APART, study_of
from tests.analysis.schema_checks import must_fit_schema
from tests.factories import one, row, select, table


def test_the_matched_trigger_is_the_weakest_that_reaches_the_level(pair, tmp_path):
    run, benign, rates = pair
    rows = measure_matched(run, benign, rates)
    must_fit_schema(rows, tmp_path)
    strength = one(rows, "matched_strength").value
    asr = select(rows, "asr", kind="path", path="strength").set_index("x")["value"]
    weaker = asr[asr.index < strength]
    assert (weaker < ASR_LEVEL).all()
    assert asr[strength] >= ASR_LEVEL
    assert strength - weaker.index.max() < 0.0063  # a tenth, halved four times
    trigger = run.experiment.test_trigger
    weakened = replace(rates, trigger=replace(trigger, strength=trigger.strength * strength))
    assert weakened(run.encoder)[1] == asr[strength]

    chosen = matched_rows(rows)
    assert set(chosen.x) == {strength}
    panel = one(chosen, "asr", evaluator="knn")
    assert panel["value"] == pytest.approx(asr[strength]), "one evaluator, one bank"
    assert set(judge(chosen).claim) == {"C2"}
    assert set(final_rows(rows).measure) == {"matched_strength"}, "they do not pass for readings at full strength"


def test_an_arm_that_never_reaches_the_level_is_too_few_hits(pair, monkeypatch, tmp_path):
    monkeypatch.setattr(matched_asr, "ASR_LEVEL", 1.01)
    monkeypatch.setattr(matched_asr, "STEPS", 2)
    rows = measure_matched(*pair)
    must_fit_schema(rows, tmp_path)
    readings = rows[rows.kind != "path"]
    assert set(readings.status) == {"undefined"}
    assert readings.note.str.startswith("expected ASR to reach 1.01, received ").all()
    outcome = table(row(pair[0].name, "backdoored", 1.0, epoch=pair[0].label.epoch))
    verdicts = judge(matched_rows(pd.concat([rows, outcome], ignore_index=True)))
    assert set(verdicts.verdict) == {"not evaluable"}
    assert verdicts.why.str.contains("mixing is undefined|interference is undefined|excess is undefined").all()


def test_a_run_counts_at_matched_asr_if_it_is_backdoored_at_full_strength():
    rows = study_of({"supervised-dirty": APART})
    values = rows["measure"].isin(PRIMARY)
    matched = rows[values].assign(kind="matched", x=0.3)
    claims = judge(matched_rows(pd.concat([rows.assign(value=rows["value"].where(~values, 0.9)), matched])))
    assert set(claims.verdict) == {"supported"}, "readings are those at matched ASR"
    assert set(claims.backdoored) == {"10 of 10"}
    assert matched_rows(rows).empty
